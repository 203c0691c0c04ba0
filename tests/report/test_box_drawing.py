from PIL import Image

from finetune.report import box_drawing, gallery
from finetune.scoring.box_text import UNREADABLE, Placed, to_json

GOLD = to_json([Placed("dent", (100, 200, 500, 600))])
SAID = to_json([Placed("dent", (600, 600, 900, 900)), Placed("", UNREADABLE)])
GREY = (90, 90, 90)


def test_gold_and_predicted_boxes_are_drawn_where_they_are():
    image = Image.new("RGB", (201, 101), GREY)
    drawn = box_drawing.draw(image, GOLD, SAID)
    # (width - 1, height - 1) = (200, 100): gold is 20, 20 to 100, 60; what was said 120, 60 to 180, 90.
    for corner in ((20, 20), (100, 60), (100, 20), (20, 60), (22, 22)):
        assert drawn.getpixel(corner) == box_drawing.GOLD
    for corner in ((120, 60), (180, 90)):
        assert drawn.getpixel(corner) == box_drawing.SAID
    assert drawn.getpixel((0, 0)) == drawn.getpixel((60, 40)) == GREY
    assert image.getpixel((20, 20)) == GREY


def test_mistakes_count_what_is_missed_and_what_is_invented():
    assert box_drawing.mistakes(GOLD, SAID) == 3
    assert box_drawing.mistakes(GOLD, GOLD) == 0
    assert box_drawing.mistakes(GOLD, None) == 1
    assert box_drawing.mistakes("[]", "[]") == 0


def test_a_thumbnail_shows_the_boxes():
    image = Image.new("RGB", (200, 100), GREY)
    assert gallery.thumbnail(image, False, (GOLD, SAID)) != gallery.thumbnail(image, False)
