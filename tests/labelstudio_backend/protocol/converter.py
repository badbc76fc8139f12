"""Label Studio's own converter of brush masks, run by the Python that has it.

Masks come as JSON on the standard input: shape, pixels as 0 and 1, our code. What the converter
makes of the mask, and of our code, goes to the output.
"""

import json
import sys


def main():
    """Convert everything there and back."""
    import numpy as np
    from label_studio_sdk.converter import brush

    answers = []
    for shape, pixels, code in json.load(sys.stdin):
        mask = 255 * np.array(pixels, dtype=np.uint8).reshape(shape)
        image = brush.decode_rle(code).reshape(*shape, 4)
        answers.append([brush.mask2rle(mask), (image[..., 3] > 0).astype(int).ravel().tolist()])
    json.dump(answers, sys.stdout)


if __name__ == "__main__":
    main()
