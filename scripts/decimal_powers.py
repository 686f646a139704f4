#!/usr/bin/env python3
"""Prints Sources/CDPKernels/decimal_powers.h: the powers of five that reading decimal numbers needs.

    scripts/decimal_powers.py > Sources/CDPKernels/decimal_powers.h

Entry q + 342 holds the 128 most significant bits of 5^q: rounded down for q >= 0, and up (so that
products with them are never too small) for q < 0, as in Lemire, "Number Parsing at a Gigabyte per
Second" (2021), section 6.
"""
print("// The 128 most significant bits of 5^q for q from -342 to 308: made by scripts/decimal_powers.py.")
print("static const uint64_t powers_of_five[651][2] = {")
for q in range(-342, 309):
    if q >= 0:
        power = 5**q
        shift = power.bit_length() - 128
        word = power >> shift if shift >= 0 else power << -shift
    else:
        power = 5**-q
        z = power.bit_length()
        word = 2 ** (z + 127) // power + 1 if q >= -27 else 2 ** (2 * z + 128) // power + 1
        while word >= 1 << 128:
            word //= 2
    print(f"    {{0x{word >> 64:016x}, 0x{word & (2**64 - 1):016x}}},  // 5^{q}")
print("};")
