import pytest
from training import micro

from finetune.errors import DataError
from finetune.models.encoding import Encoder, Supervision
from finetune.training import sample_checks
from finetune.training.collator import Pictures


@pytest.fixture
def encoder(loaded):
    return Encoder(loaded.processor, loaded.family)


@pytest.fixture
def root(tmp_path):
    for number in range(2):
        micro.picture(number, (50, 70)).save(tmp_path / f"{number:03d}_0.png")
    return tmp_path


def test_lengths_are_planned_and_an_overlong_sample_is_named(encoder, loaded, root):
    expected = encoder.length(micro.example(0), [(70, 50)])
    assert sample_checks.check_lengths(encoder, [micro.example(0)], root, loaded.model) == [expected]
    long = micro.example(1, question="why " * 300)
    with pytest.raises(DataError, match=r"example 'e1' .* are \d{3,4} tokens, the model has 256 positions"):
        sample_checks.check_lengths(encoder, [micro.example(0), long], root, loaded.model)


def test_image_tokens_are_counted_without_decoding(encoder, loaded, root):
    examples = [micro.example(0), micro.example(1, images=0), micro.example(1)]
    image = encoder.length(micro.example(0), [(70, 50)]) - encoder.length(micro.example(0, images=0), [])
    assert sample_checks.image_tokens(encoder, examples, root) == 2 * image


def test_header_sizes_follow_the_exif_rotation(tmp_path):
    exif = micro.picture(0).getexif()
    exif[0x0112] = 6
    micro.picture(0, (50, 70)).save(tmp_path / "a.jpg", exif=exif)
    micro.picture(0, (50, 70)).save(tmp_path / "b.jpg")
    refs = micro.ImageRef("a.jpg"), micro.ImageRef("b.jpg")
    assert [sample_checks.size(tmp_path, ref) for ref in refs] == [(50, 70), (70, 50)]


def test_the_size_of_a_tile_is_its_own(tmp_path):
    micro.picture(0, (50, 70)).save(tmp_path / "a.png")
    assert sample_checks.size(tmp_path, micro.ImageRef("a.png", tile=(10, 20, 40, 60))) == (40, 30)


def test_an_image_that_cannot_be_read_is_named_with_its_example(encoder, loaded, root):
    path = root / "000_0.png"
    path.write_bytes(path.read_bytes()[:30])
    with pytest.raises(DataError, match=r"example 'e0' .*image '000_0.png'"):
        sample_checks.check_lengths(encoder, [micro.example(0)], root, loaded.model)


def test_the_supervised_text_is_shown_once_each(encoder, root, capsys):
    sample_checks.show_supervision(encoder, [micro.example(0), micro.example(1)], Pictures(encoder, root))
    assert capsys.readouterr().err.startswith("supervised text: ' no<end_of_utterance>' (9.5% of the tokens)")


def test_nothing_supervised_is_an_error(encoder, root, monkeypatch):
    monkeypatch.setattr(encoder, "supervision", lambda batch: Supervision(("",), 0.0))
    with pytest.raises(DataError, match="no token of the first batch carries a label"):
        sample_checks.show_supervision(encoder, [micro.example(0)], Pictures(encoder, root))
