"""Common words for the tokenizer, so that questions of users cost few tokens; no meaning is taught here."""

from typing import Final

WORDS: Final = """
the of and to in a is that it was for on are as with his they at be this have from or one had by not but what all were
we when your can said there use an each which she do how their if will up other about out many then them these so some
her would make like him into time has look two more write go see number no way could people my than first water been
call who oil its now find long down day did get come made may part over new sound take only little work know place year
live me back give most very after thing our just name good sentence man think say great where help through much before
line right too mean old any same tell boy follow came want show also around form three small set put end does another
well large must big even such because turn here why ask went men read need land different home us move try kind hand
picture again change off play spell air away animal house point page letter mother answer found study still learn should
image images photo picture view shown shows visible following question questions label labels class classes option
options category choose select pick reply respond answer describe explain identify classify detect inspect inspection
quality defect defects defective functional fault faulty flaw flawed anomaly normal abnormal damage damaged intact
surface material product part parts component machine device cell cells module solar panel wafer silicon crystal metal
steel iron copper aluminum aluminium leather fabric cloth textile thread wood paper plastic rubber glass ceramic stone
concrete paint painted coating print printed board circuit chip wire cable connector screw bolt nut weld seam joint edge
corner top bottom left right center middle upper lower front back side inside outside between above below near far
crack scratch spot hole stain dent fold poke glue cut color colour mark line patch dark bright light shadow grey gray
black white red green blue yellow brown orange broken missing bent worn torn burnt rust corrosion contamination dust
particle inclusion pit pore void bubble burr wrinkle crease tear hole open short shift misplaced cold hot
yes no true false none one two three four five six seven eight nine ten zero many few several single multiple
small large big little tiny huge long short wide narrow thick thin high low deep flat round square straight curved
good bad ok pass fail accept reject clean dirty healthy disease patient scan tissue lesion tumor tumour benign malignant
positive negative grade stage level score severe mild moderate slight strong weak risk nodule mass skin chest lung bone
cell blood nucleus normal cancer fracture opacity pneumonia effusion retina eye brain heart liver kidney breast colon
plant leaf seed fruit crop soil satellite forest river road building field urban water vehicle ship aircraft bridge
document invoice receipt table form total amount date number name address text word title page chart figure map sign
is are was were does has have had can could should would may might only exactly single word please briefly short
which what where when who why how whether example production camera sample piece item unit batch lot
"""
