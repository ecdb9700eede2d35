"""Problems and the drugs that treat them (SNOMED CT, ICD-10-CM, RxNorm)."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Drug:
    """A medication: RxNorm code, dose as text, times a day and what one dose is."""

    code: str
    display: str
    dosage: str
    times_a_day: int
    dose: float
    unit: str
    ucum: str
    as_needed: bool = False


@dataclass(frozen=True)
class Disease:
    """A problem: SNOMED CT and ICD-10-CM code and the drugs that treat it, by key of DRUGS."""

    code: str
    display: str
    icd10: str
    icd10_display: str
    drugs: tuple[str, ...] = ()


_TABLET = ("tablet", "{tbl}")
_CAPSULE = ("capsule", "{capsule}")
_PUFF = ("puff", "{puff}")
DRUGS = {
    "metformin": Drug(
        "861007",
        "metformin hydrochloride 500 MG Oral Tablet",
        "Take 1 tablet by mouth twice daily with meals",
        2,
        1,
        *_TABLET,
    ),
    "lisinopril": Drug(
        "314076",
        "lisinopril 10 MG Oral Tablet",
        "Take 1 tablet by mouth once daily",
        1,
        1,
        *_TABLET,
    ),
    "amlodipine": Drug(
        "197361",
        "amlodipine 5 MG Oral Tablet",
        "Take 1 tablet by mouth once daily",
        1,
        1,
        *_TABLET,
    ),
    "atorvastatin": Drug(
        "617310",
        "atorvastatin 20 MG Oral Tablet",
        "Take 1 tablet by mouth once daily in the evening",
        1,
        1,
        *_TABLET,
    ),
    "albuterol": Drug(
        "745679",
        "200 ACTUAT albuterol 0.09 MG/ACTUAT Metered Dose Inhaler",
        "Inhale 2 puffs every 4 to 6 hours as needed for wheezing",
        4,
        2,
        *_PUFF,
        as_needed=True,
    ),
    "levothyroxine": Drug(
        "966224",
        "levothyroxine sodium 0.05 MG Oral Tablet",
        "Take 1 tablet by mouth every morning before breakfast",
        1,
        1,
        *_TABLET,
    ),
    "sertraline": Drug(
        "312941",
        "sertraline 50 MG Oral Tablet",
        "Take 1 tablet by mouth once daily",
        1,
        1,
        *_TABLET,
    ),
    "omeprazole": Drug(
        "198051",
        "omeprazole 20 MG Delayed Release Oral Capsule",
        "Take 1 capsule by mouth once daily before breakfast",
        1,
        1,
        *_CAPSULE,
    ),
    "iron": Drug(
        "310325",
        "ferrous sulfate 325 MG Oral Tablet",
        "Take 1 tablet by mouth once daily",
        1,
        1,
        *_TABLET,
    ),
    "apixaban": Drug(
        "1364445",
        "apixaban 5 MG Oral Tablet",
        "Take 1 tablet by mouth twice daily",
        2,
        1,
        *_TABLET,
    ),
    "azithromycin": Drug(
        "308460",
        "azithromycin 250 MG Oral Tablet",
        "Take 2 tablets by mouth on the first day, then 1 tablet once daily for 4 days",
        1,
        1,
        *_TABLET,
    ),
}
DISEASES = {
    "diabetes": Disease(
        "44054006",
        "Diabetes mellitus type 2",
        "E11.9",
        "Type 2 diabetes mellitus without complications",
        ("metformin",),
    ),
    "hypertension": Disease(
        "59621000",
        "Essential hypertension",
        "I10",
        "Essential (primary) hypertension",
        ("lisinopril", "amlodipine"),
    ),
    "kidney": Disease(
        "433144002",
        "Chronic kidney disease stage 3",
        "N18.30",
        "Chronic kidney disease, stage 3 unspecified",
    ),
    "lipids": Disease(
        "55822004", "Hyperlipidemia", "E78.5", "Hyperlipidemia, unspecified", ("atorvastatin",)
    ),
    "asthma": Disease(
        "195967001", "Asthma", "J45.909", "Unspecified asthma, uncomplicated", ("albuterol",)
    ),
    "thyroid": Disease(
        "40930008", "Hypothyroidism", "E03.9", "Hypothyroidism, unspecified", ("levothyroxine",)
    ),
    "depression": Disease(
        "35489007", "Depressive disorder", "F32.A", "Depression, unspecified", ("sertraline",)
    ),
    "copd": Disease(
        "13645005",
        "Chronic obstructive lung disease",
        "J44.9",
        "Chronic obstructive pulmonary disease, unspecified",
        ("albuterol",),
    ),
    "fibrillation": Disease(
        "49436004",
        "Atrial fibrillation",
        "I48.91",
        "Unspecified atrial fibrillation",
        ("apixaban",),
    ),
    "anemia": Disease(
        "87522002",
        "Iron deficiency anemia",
        "D50.9",
        "Iron deficiency anemia, unspecified",
        ("iron",),
    ),
    "obesity": Disease("414916001", "Obesity", "E66.9", "Obesity, unspecified"),
    "reflux": Disease(
        "235595009",
        "Gastroesophageal reflux disease",
        "K21.9",
        "Gastro-esophageal reflux disease without esophagitis",
        ("omeprazole",),
    ),
    "pneumonia": Disease(
        "233604007", "Pneumonia", "J18.9", "Pneumonia, unspecified organism", ("azithromycin",)
    ),
    "bronchitis": Disease(
        "10509002", "Acute bronchitis", "J20.9", "Acute bronchitis, unspecified", ("azithromycin",)
    ),
}
