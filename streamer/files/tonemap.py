"""color → **tonemap**: HDR to SDR as one table, from PQ or HLG codes to BT.709 (pure).

PQ and HLG curves: ITU-R BT.2100. Roll-off of highlights: the EETF of ITU-R BT.2390 section 5.4.
Reference white, 203 nits in HDR, becomes white of the SDR picture: ITU-R BT.2408.
"""

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

WHITE_NITS = 203.0
USUAL_PEAK_NITS = 1000.0  # of masters that do not say
SIZE = 33  # points an axis; the codes are perceptually even, so this is enough for 8 bits

M1, M2 = 2610 / 16384, 2523 / 4096 * 128
C1, C2, C3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
BT2020_TO_BT709 = np.array(
    [
        [1.660491, -0.587641, -0.072850],
        [-0.124550, 1.132900, -0.008349],
        [-0.018151, -0.100579, 1.118730],
    ]
)
BT2020_LUMA = np.array([0.2627, 0.6780, 0.0593])


def pq_to_nits(code: Values) -> Values:
    """Display light (nits) of PQ codes 0..1."""
    power = np.power(np.clip(code, 0, 1), 1 / M2)
    light: Values = 10000 * np.power(np.maximum(power - C1, 0) / (C2 - C3 * power), 1 / M1)
    return light


def nits_to_pq(nits: Values) -> Values:
    """PQ codes 0..1 of display light."""
    power = np.power(np.clip(nits / 10000, 0, 1), M1)
    code: Values = np.power((C1 + C2 * power) / (1 + C3 * power), M2)
    return code


def hlg_to_nits(code: Values) -> Values:
    """Display light of HLG colours (..., 3) on a screen of 1000 nits: system gamma 1.2."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    scene = np.where(code <= 0.5, code**2 / 3, (np.exp((code - c) / a) + b) / 12)
    luma = np.maximum(scene @ BT2020_LUMA, 1e-6)[..., None]
    light: Values = 1000 * np.power(luma, 0.2) * scene
    return light


def roll_off(nits: Values, peak_nits: float) -> Values:
    """Light up to `peak_nits` fitted below WHITE_NITS; what is dark stays as it is."""
    black, peak, white = (nits_to_pq(np.array(value)) for value in (0.0, peak_nits, WHITE_NITS))
    light = np.clip((nits_to_pq(nits) - black) / (peak - black), 0, 1)
    limit = (white - black) / (peak - black)
    knee = 1.5 * limit - 0.5
    t = np.clip((light - knee) / (1 - knee), 0, 1)
    curve = (
        (2 * t**3 - 3 * t**2 + 1) * knee
        + (t**3 - 2 * t**2 + t) * (1 - knee)
        + (-2 * t**3 + 3 * t**2) * limit
    )
    return pq_to_nits(np.where(light < knee, light, curve) * (peak - black) + black)


def cube(hlg: bool, peak_nits: float | None) -> Values:
    """SDR colours (SIZE, SIZE, SIZE, 3) in 0..1, indexed by red, green, blue HDR codes."""
    axis = np.linspace(0, 1, SIZE)
    codes = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1)
    light = hlg_to_nits(codes) if hlg else pq_to_nits(codes)
    peak = float(np.clip(peak_nits or USUAL_PEAK_NITS, WHITE_NITS + 1, 10000))
    brightest = np.maximum(light.max(axis=-1, keepdims=True), 1e-6)
    sdr = light * (roll_off(brightest, peak) / brightest) @ BT2020_TO_BT709.T / WHITE_NITS
    display: Values = np.power(np.clip(sdr, 0, 1), 1 / 2.4)  # BT.1886
    return display
