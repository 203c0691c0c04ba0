"""Near-duplicates: pictures that are one photograph, blurred, brightened, cropped, mirrored or re-taken."""
