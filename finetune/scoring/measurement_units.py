"""Units and their names: facts, which whoever reads a number looks up here."""

NAMES = {
    name: unit
    for unit, names in {
        "%": "percent",
        "px": "pixel pixels",
        "\u00b5m": "micrometre micrometres micrometer micrometers micron microns",
        "mm": "millimetre millimetres millimeter millimeters",
        "cm": "centimetre centimetres centimeter centimeters",
        "m": "metre metres meter meters",
        "in": 'inch inches "',
        "ft": "foot feet",
        "mg": "milligram milligrams",
        "g": "gram grams",
        "kg": "kilogram kilograms",
        "ml": "millilitre millilitres milliliter milliliters",
        "l": "litre litres liter liters",
        "s": "sec second seconds",
        "min": "minute minutes",
        "h": "hr hrs hour hours",
    }.items()
    for name in names.split()
}
"""Folded name -> unit."""
SCALES = (
    {
        **{"nm": 1e-9, "um": 1e-6, "\u00b5m": 1e-6, "\u03bcm": 1e-6, "mm": 1e-3, "cm": 1e-2, "m": 1.0, "km": 1e3},
        **{"in": 0.0254, "ft": 0.3048},
    },
    {"mg": 1e-6, "g": 1e-3, "kg": 1.0},
    {"ml": 1e-3, "l": 1.0},
    {"ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0},
)
"""Units that convert into each other -> how much each is of their base unit."""
_OTHER_WORDS = """
wide long high tall deep thick across apart away total overall approximately about at on and or but to of by with for
from as is are was which that so since because within near along between per each
"""
NO_UNITS = frozenset(_OTHER_WORDS.split())
"""Words after a number that are no unit of it."""
