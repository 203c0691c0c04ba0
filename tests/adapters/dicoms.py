"""DICOM data sets made by hand."""

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

ROOT = "1.2.826.0.1.3680043.8.498"


def ct(values, number=0, series=1, study=1, patient="Doe^Jane", **fields):
    """A CT slice of stored values `[rows, columns]`; `fields` are set last, None deletes one."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = CTImageStorage
    dataset.SOPInstanceUID = f"{ROOT}.{study}.{series}.{number}"
    dataset.SeriesInstanceUID = f"{ROOT}.{study}.{series}"
    dataset.StudyInstanceUID = f"{ROOT}.{study}"
    dataset.AccessionNumber = f"A{study}"
    dataset.PatientID = patient
    dataset.PatientName = patient
    dataset.Modality = "CT"
    dataset.InstanceNumber = str(number)
    dataset.SeriesNumber = str(series)
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    pixels(dataset, values)
    for name, value in fields.items():
        if value is None:
            delattr(dataset, name)
        else:
            setattr(dataset, name, value)
    return dataset


def pixels(dataset, values):
    """Puts native pixels in: `[rows, columns]`, `[frames, rows, columns]` or `[rows, columns, 3]`."""
    values = np.ascontiguousarray(values)
    colour = values.ndim == 3 and values.shape[2] == 3 and values.dtype == np.uint8
    dataset.Rows, dataset.Columns = values.shape[:2] if colour or values.ndim == 2 else values.shape[1:]
    if colour:
        dataset.SamplesPerPixel, dataset.PlanarConfiguration = 3, 0
    elif values.ndim == 3:
        dataset.NumberOfFrames = str(values.shape[0])
    dataset.BitsAllocated = dataset.BitsStored = 8 * values.itemsize
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelRepresentation = int(values.dtype.kind == "i")
    dataset.PixelData = values.tobytes() + b"\0" * (values.nbytes % 2)
    dataset["PixelData"].VR = "OW" if values.itemsize > 1 else "OB"


def item(**fields):
    """A sequence item."""
    dataset = Dataset()
    for name, value in fields.items():
        setattr(dataset, name, value)
    return dataset
