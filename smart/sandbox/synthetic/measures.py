"""What is measured: LOINC codes, UCUM units and normal ranges (LOINC, UCUM)."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Measure:
    """A measured quantity: LOINC code, unit as shown and as UCUM code, digits, normal range.

    `male` overrides the range for men; None as a bound means there is none.
    """

    code: str
    display: str
    name: str
    unit: str
    ucum: str
    digits: int = 0
    low: float | None = None
    high: float | None = None
    male: tuple[float | None, float | None] | None = None

    def range_for(self, gender: str) -> tuple[float | None, float | None]:
        """Lower and upper bound of the normal range for FHIR's administrative gender."""
        if gender == "male" and self.male is not None:
            return self.male
        return self.low, self.high


@dataclass(frozen=True)
class Panel:
    """A laboratory order: LOINC code and the measures it brings, by key of LABS."""

    key: str
    code: str
    display: str
    measures: tuple[str, ...]


_SP = "in Serum or Plasma"
VITALS = {
    "systolic": Measure("8480-6", "Systolic blood pressure", "Systolic", "mmHg", "mm[Hg]"),
    "diastolic": Measure("8462-4", "Diastolic blood pressure", "Diastolic", "mmHg", "mm[Hg]"),
    "heart-rate": Measure("8867-4", "Heart rate", "Heart rate", "beats/minute", "/min"),
    "respiration": Measure(
        "9279-1", "Respiratory rate", "Respiratory rate", "breaths/minute", "/min"
    ),
    "temperature": Measure("8310-5", "Body temperature", "Temperature", "°C", "Cel", 1),
    "saturation": Measure(
        "59408-5", "Oxygen saturation in Arterial blood by Pulse oximetry", "SpO2", "%", "%"
    ),
    "weight": Measure("29463-7", "Body weight", "Weight", "kg", "kg", 1),
    "height": Measure("8302-2", "Body height", "Height", "cm", "cm"),
    "bmi": Measure("39156-5", "Body mass index (BMI) [Ratio]", "BMI", "kg/m2", "kg/m2", 1),
}
LABS = {
    "hba1c": Measure(
        "4548-4", "Hemoglobin A1c/Hemoglobin.total in Blood", "HbA1c", "%", "%", 1, 4.0, 5.6
    ),
    "glucose": Measure(
        "2345-7", f"Glucose [Mass/volume] {_SP}", "Glucose", "mg/dL", "mg/dL", 0, 70, 99
    ),
    "urea": Measure(
        "3094-0", f"Urea nitrogen [Mass/volume] {_SP}", "BUN", "mg/dL", "mg/dL", 0, 7, 20
    ),
    "creatinine": Measure(
        "2160-0",
        f"Creatinine [Mass/volume] {_SP}",
        "Creatinine",
        "mg/dL",
        "mg/dL",
        2,
        0.5,
        1.1,
        (0.7, 1.3),
    ),
    "egfr": Measure(
        "98979-8",
        "Glomerular filtration rate/1.73 sq M.predicted [Volume Rate/Area] in Serum, Plasma or"
        " Blood by Creatinine-based formula (CKD-EPI 2021)",
        "eGFR",
        "mL/min/1.73 m2",
        "mL/min/{1.73_m2}",
        0,
        60,
    ),
    "sodium": Measure(
        "2951-2", f"Sodium [Moles/volume] {_SP}", "Sodium", "mmol/L", "mmol/L", 0, 135, 145
    ),
    "potassium": Measure(
        "2823-3", f"Potassium [Moles/volume] {_SP}", "Potassium", "mmol/L", "mmol/L", 1, 3.5, 5.1
    ),
    "chloride": Measure(
        "2075-0", f"Chloride [Moles/volume] {_SP}", "Chloride", "mmol/L", "mmol/L", 0, 98, 107
    ),
    "carbon-dioxide": Measure(
        "2028-9",
        f"Carbon dioxide, total [Moles/volume] {_SP}",
        "CO2",
        "mmol/L",
        "mmol/L",
        0,
        22,
        29,
    ),
    "calcium": Measure(
        "17861-6", f"Calcium [Mass/volume] {_SP}", "Calcium", "mg/dL", "mg/dL", 1, 8.5, 10.5
    ),
    "leukocytes": Measure(
        "6690-2",
        "Leukocytes [#/volume] in Blood by Automated count",
        "Leukocytes",
        "10*3/uL",
        "10*3/uL",
        1,
        4.0,
        11.0,
    ),
    "hemoglobin": Measure(
        "718-7",
        "Hemoglobin [Mass/volume] in Blood",
        "Hemoglobin",
        "g/dL",
        "g/dL",
        1,
        12.0,
        15.5,
        (13.5, 17.5),
    ),
    "hematocrit": Measure(
        "4544-3",
        "Hematocrit [Volume Fraction] of Blood by Automated count",
        "Hematocrit",
        "%",
        "%",
        0,
        36,
        46,
        (40, 52),
    ),
    "platelets": Measure(
        "777-3",
        "Platelets [#/volume] in Blood by Automated count",
        "Platelets",
        "10*3/uL",
        "10*3/uL",
        0,
        150,
        400,
    ),
    "cholesterol": Measure(
        "2093-3", f"Cholesterol [Mass/volume] {_SP}", "Cholesterol", "mg/dL", "mg/dL", 0, None, 199
    ),
    "ldl": Measure(
        "13457-7",
        f"Cholesterol in LDL [Mass/volume] {_SP} by calculation",
        "LDL cholesterol",
        "mg/dL",
        "mg/dL",
        0,
        None,
        129,
    ),
    "hdl": Measure(
        "2085-9",
        f"Cholesterol in HDL [Mass/volume] {_SP}",
        "HDL cholesterol",
        "mg/dL",
        "mg/dL",
        0,
        50,
        None,
        (40, None),
    ),
    "triglycerides": Measure(
        "2571-8",
        f"Triglyceride [Mass/volume] {_SP}",
        "Triglycerides",
        "mg/dL",
        "mg/dL",
        0,
        None,
        149,
    ),
    "tsh": Measure(
        "3016-3", f"Thyrotropin [Units/volume] {_SP}", "TSH", "mIU/L", "m[IU]/L", 2, 0.4, 4.5
    ),
    "crp": Measure(
        "1988-5", f"C reactive protein [Mass/volume] {_SP}", "CRP", "mg/L", "mg/L", 0, None, 8
    ),
    "alt": Measure(
        "1742-6",
        f"Alanine aminotransferase [Enzymatic activity/volume] {_SP}",
        "ALT",
        "U/L",
        "U/L",
        0,
        7,
        45,
    ),
    "ast": Measure(
        "1920-8",
        f"Aspartate aminotransferase [Enzymatic activity/volume] {_SP}",
        "AST",
        "U/L",
        "U/L",
        0,
        8,
        40,
    ),
}
PANELS = {
    "bmp": Panel(
        "bmp",
        "51990-0",
        "Basic metabolic panel - Blood",
        (
            "glucose",
            "urea",
            "creatinine",
            "egfr",
            "sodium",
            "potassium",
            "chloride",
            "carbon-dioxide",
            "calcium",
        ),
    ),
    "cbc": Panel(
        "cbc",
        "58410-2",
        "CBC panel - Blood by Automated count",
        ("leukocytes", "hemoglobin", "hematocrit", "platelets"),
    ),
    "lipid": Panel(
        "lipid",
        "24331-1",
        "Lipid 1996 panel - Serum or Plasma",
        ("cholesterol", "ldl", "hdl", "triglycerides"),
    ),
    "hba1c": Panel("hba1c", "4548-4", LABS["hba1c"].display, ("hba1c",)),
    "tsh": Panel("tsh", "3016-3", LABS["tsh"].display, ("tsh",)),
    "crp": Panel("crp", "1988-5", LABS["crp"].display, ("crp",)),
    "alt": Panel("alt", "1742-6", LABS["alt"].display, ("alt",)),
    "ast": Panel("ast", "1920-8", LABS["ast"].display, ("ast",)),
}
