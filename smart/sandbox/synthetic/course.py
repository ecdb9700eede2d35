"""How a patient's values develop over time, consistent with the diseases and their treatment."""

import random
from dataclasses import dataclass
from datetime import date

from smart.sandbox.synthetic.measures import LABS, VITALS
from smart.sandbox.synthetic.people import Person

Values = dict[str, float]


@dataclass(frozen=True)
class Course:
    """A patient's base line; `progress` below runs from 0 (first visit) to 1 (last)."""

    person: Person
    height: int
    weight: float
    systolic: int
    seed: str

    def has(self, disease: str) -> bool:
        """Whether the patient has the disease, by its key."""
        return disease in self.person.diseases

    def vitals(self, visit: str, progress: float, *, acute: bool) -> Values:
        """The vital signs of one visit."""
        chance = random.Random(f"{self.seed}/vitals/{visit}")
        high = self.has("hypertension")
        weight = self.weight * (1 - 0.05 * progress * self.has("obesity")) + chance.uniform(-1, 1)
        saturation = chance.randint(91, 94) if self.has("copd") else chance.randint(96, 99)
        values: Values = {
            "systolic": self.systolic - 26 * progress * high + chance.randint(-4, 4),
            "diastolic": 74 + (20 - 13 * progress) * high + chance.randint(-4, 4),
            "heart-rate": chance.randint(62, 78) + 12 * self.has("fibrillation"),
            "respiration": chance.randint(12, 16) + 3 * self.has("copd"),
            "temperature": chance.uniform(36.4, 37.0),
            "saturation": saturation,
            "weight": weight,
            "height": self.height,
        }
        if acute:
            values |= {"heart-rate": 104, "respiration": 24, "temperature": 38.6, "saturation": 91}
        values["bmi"] = weight / (self.height / 100) ** 2
        return {key: rounded(value, VITALS[key].digits) for key, value in values.items()}

    def labs(self, visit: str, progress: float, on: date, *, acute: bool) -> Values:
        """The laboratory values of one visit; every panel takes its own from here."""
        chance = random.Random(f"{self.seed}/labs/{visit}")
        values = {
            **self._sugar(chance, progress),
            **self._kidney(chance, progress, on),
            **self._blood(chance, progress),
            **self._fats(chance, progress),
            "sodium": chance.randint(137, 143),
            "chloride": chance.randint(99, 105),
            "carbon-dioxide": chance.randint(23, 28),
            "calcium": chance.uniform(9.0, 10.0),
            "tsh": _between(8.6, 2.4, progress) if self.has("thyroid") else chance.uniform(1, 3),
            "alt": chance.randint(14, 34),
            "ast": chance.randint(14, 32),
            "crp": chance.randint(1, 5),
        }
        if acute:
            values |= {"leukocytes": 15.2, "crp": 96}
        return {key: rounded(value, LABS[key].digits) for key, value in values.items()}

    def _sugar(self, chance: random.Random, progress: float) -> Values:
        """HbA1c, and glucose near the average that goes with it."""
        if self.has("diabetes"):
            hba1c = _between(8.9, 7.0, progress) + chance.uniform(-0.15, 0.15)
            glucose = 28.7 * hba1c - 46.7 + chance.uniform(-12, 12)
        else:
            hba1c = chance.uniform(5.0, 5.5)
            glucose = chance.uniform(80, 97)
        return {"hba1c": hba1c, "glucose": glucose}

    def _kidney(self, chance: random.Random, progress: float, on: date) -> Values:
        age = (on - self.person.birth).days // 365
        healthy = max(72, 118 - 0.7 * max(age - 20, 0))
        target = _between(55, 45, progress) if self.has("kidney") else healthy
        aimed = creatinine_for(target + chance.uniform(-2, 2), age, self.person.gender)
        creatinine = round(aimed, 2)
        return {
            "creatinine": creatinine,
            "egfr": egfr(creatinine, age, self.person.gender),
            "urea": chance.randint(26, 34) if self.has("kidney") else chance.randint(10, 18),
            "potassium": chance.uniform(4.6, 5.1)
            if self.has("kidney")
            else chance.uniform(3.8, 4.5),
        }

    def _blood(self, chance: random.Random, progress: float) -> Values:
        usual = 14.9 if self.person.gender == "male" else 13.4
        lacking = self.has("anemia")
        hemoglobin = _between(9.8, 12.3, progress) if lacking else usual + chance.uniform(-0.6, 0.6)
        if self.has("kidney"):
            hemoglobin -= 0.4
        return {
            "leukocytes": chance.uniform(5.0, 8.8),
            "hemoglobin": hemoglobin,
            "hematocrit": 3 * hemoglobin,
            "platelets": chance.randint(190, 320),
        }

    def _fats(self, chance: random.Random, progress: float) -> Values:
        high = self.has("lipids")
        cholesterol = round(_between(252, 178, progress) if high else chance.uniform(160, 190))
        hdl = chance.randint(42, 52) if high else chance.randint(52, 64)
        triglycerides = round(_between(210, 140, progress) if high else chance.uniform(80, 130))
        return {
            "cholesterol": cholesterol,
            "hdl": hdl,
            "triglycerides": triglycerides,
            "ldl": cholesterol - hdl - triglycerides / 5,  # Friedewald
        }


def course_of(slug: str, person: Person) -> Course:
    """The base line of a patient, the same on every call."""
    seed = f"{slug}/{person.id}"
    chance = random.Random(f"{seed}/course")
    height = chance.randint(170, 188) if person.gender == "male" else chance.randint(156, 174)
    bmi = chance.uniform(32, 35) if "obesity" in person.diseases else chance.uniform(21.5, 27.5)
    high = "hypertension" in person.diseases
    systolic = chance.randint(154, 164) if high else chance.randint(112, 124)
    return Course(person, height, bmi * (height / 100) ** 2, systolic, seed)


def _between(first: float, last: float, progress: float) -> float:
    return first + (last - first) * progress


def rounded(value: float, digits: int) -> float:
    """A value to its digits; whole numbers come as int, so that JSON shows no ".0"."""
    return round(value, digits) if digits else round(value)


def egfr(creatinine: float, age: int, gender: str) -> float:
    """Estimated filtration rate in mL/min/1.73 m2 from creatinine in mg/dL (CKD-EPI 2021)."""
    kappa, alpha, factor = _ckd_epi(gender)
    ratio = creatinine / kappa
    scale = 142 * 0.9938**age * factor
    return float(scale * min(ratio, 1) ** alpha * max(ratio, 1) ** -1.2)


def creatinine_for(rate: float, age: int, gender: str) -> float:
    """The creatinine in mg/dL at which `egfr` gives the rate."""
    kappa, alpha, factor = _ckd_epi(gender)
    share = rate / (142 * 0.9938**age * factor)
    return float(kappa * share ** (1 / (alpha if share > 1 else -1.2)))


def _ckd_epi(gender: str) -> tuple[float, float, float]:
    return (0.7, -0.241, 1.012) if gender == "female" else (0.9, -0.302, 1.0)
