"""Near-duplicates: pictures that are one photograph, saved again, blurred, brightened, cropped, mirrored or re-taken."""
