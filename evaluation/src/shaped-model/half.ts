const scratch = new DataView(new ArrayBuffer(4));

/**
 * Bits of the IEEE 754 half nearest to `value`, rounded to even. For magnitudes below 65,504, which every weight and
 * scale is.
 */
export function toHalf(value: number): number {
  const magnitude = Math.abs(value);
  const sign = value < 0 ? 0x8000 : 0;
  // Below the normal numbers they are 2^-24 apart, and the carry into the first normal number comes out right.
  if (magnitude < 2 ** -14) return sign | roundToEven(magnitude * 2 ** 24);
  scratch.setFloat32(0, magnitude);
  const single = scratch.getUint32(0);
  const kept = (single >>> 13) - ((127 - 15) << 10);
  const dropped = single & 0x1fff;
  const up = dropped > 0x1000 || (dropped === 0x1000 && (kept & 1) === 1);
  return sign | (kept + (up ? 1 : 0));
}

function roundToEven(value: number): number {
  const floor = Math.floor(value);
  const rest = value - floor;
  return floor + (rest > 0.5 || (rest === 0.5 && floor % 2 === 1) ? 1 : 0);
}
