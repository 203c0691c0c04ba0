"""Slices of a volume: which, and which way round."""

import nibabel
import numpy as np
import pytest
from adapters.sources import write_csv

from data_adapters.nifti import Options, read
from finetune.errors import ConfigError
from finetune.images.decode import load


def shown(root, values, affine, **options):
    """Red channels of the slices `[height, width]`."""
    (root / "images").mkdir(exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(values, affine), root / "v.nii")
    write_csv(root / "labels.csv", [["image", "label"], ["v.nii", "x"]])
    (example,) = read(root, Options(window=(0.0, 255.0), **options), root / "images")
    return [np.asarray(load(root, ref))[..., 0] for ref in example.images]


def marked(right, front, head):
    """A volume `[to the right, to the front, to the head]` of zeros with one bright voxel."""
    values = np.zeros((5, 4, 3), np.uint8)
    values[right, front, head] = 255
    return values


@pytest.mark.parametrize(
    ("plane", "place"),
    [("axial", (0, 0)), ("coronal", (1, 0)), ("sagittal", (1, 0))],
)
def test_the_patients_right_is_on_the_left_and_front_and_head_are_up(tmp_path, plane, place):
    """One voxel at the far right and front, in the middle slice of each plane."""
    centre = {"axial": (4, 3, 1), "coronal": (4, 2, 1), "sagittal": (2, 3, 1)}[plane]
    (image,) = shown(tmp_path, marked(*centre), np.eye(4), plane=plane)
    assert tuple(map(int, np.argwhere(image == 255)[0])) == place


def test_the_order_of_axes_in_the_file_does_not_matter(tmp_path):
    (first,) = shown(tmp_path, marked(4, 3, 1), np.eye(4))
    flipped = np.diag([-1.0, 1.0, 1.0, 1.0])
    (second,) = shown(tmp_path, marked(4, 3, 1)[::-1], flipped)
    assert np.array_equal(first, second)


def test_voxels_become_square_and_slices_are_evenly_spaced(tmp_path):
    images = shown(tmp_path, marked(4, 3, 2), np.diag([1.0, 2.0, 1.0, 1.0]), slices=3)
    assert [image.shape for image in images] == [(8, 5)] * 3
    assert [image.max() > 0 for image in images] == [False, False, True]


def test_a_number_of_slices_that_cannot_be(tmp_path):
    with pytest.raises(ConfigError, match=r"data.options.slices: got 0, expected 1 to 256"):
        shown(tmp_path, marked(0, 0, 0), np.eye(4), slices=0)


def several(root, values, kind=nibabel.Nifti1Image, name="v.nii", **options):
    """What the rows give of one file of these values, with the axes as they are."""
    (root / "images").mkdir(exist_ok=True)
    nibabel.save(kind(values, np.eye(4)), root / name)
    write_csv(root / "labels.csv", [["image", "label"], [name, "x"]])
    (row,) = read(root, Options(window=(0.0, 255.0), **options), root / "images")
    return row


@pytest.mark.parametrize("name", ["v.nii", "v.nii.gz"])
def test_nifti_2_and_a_fourth_axis_of_one(tmp_path, name):
    """Equal pixels, whatever wraps them."""
    values = marked(4, 3, 1)
    plain = several(tmp_path, values).images
    assert several(tmp_path, values, nibabel.Nifti2Image, name).images == plain
    assert several(tmp_path, values[..., None], name=name).images == plain
    assert several(tmp_path, values[..., None, None], nibabel.Nifti2Image, name).images == plain


def test_which_of_several_volumes_must_be_said(tmp_path):
    series = np.stack([marked(0, 0, 1), marked(4, 3, 1)], axis=-1)
    assert "holds 2 volumes (5, 4, 3, 2); say which one with data.options.volume" in several(tmp_path, series).reason
    assert several(tmp_path, series, volume=1).images == several(tmp_path, marked(4, 3, 1)).images
    assert several(tmp_path, series, volume=0).images == several(tmp_path, marked(0, 0, 1)).images
    assert several(tmp_path, series, volume=2).reason.startswith("holds 2 volumes; data.options.volume=2")


def test_a_window_that_leaves_nothing_but_white(tmp_path):
    row = several(tmp_path, np.arange(300, 360, dtype=np.int16).reshape(5, 4, 3))
    assert row.reason.startswith("its volume turns out all white: its values are 300 to 359, and 255 is shown")
