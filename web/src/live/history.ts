/** The last two minutes of a stream as lines. Pure. */

export const SAMPLES = 120; // one a second

export interface Sample {
  in_fps: number;
  out_fps: number;
  latency_ms: number;
}

/** One more, the oldest forgotten. */
export function remember(past: readonly Sample[], sample: Sample): Sample[] {
  return [...past, sample].slice(-SAMPLES);
}

/** The points of an SVG polyline in a box of `width` by `height`, the newest at the right. */
export function line(
  values: readonly number[],
  most: number,
  width: number,
  height: number,
): string {
  const step = width / (SAMPLES - 1);
  const first = width - step * (values.length - 1);
  return values
    .map((value, i) => {
      const y = height - (Math.min(value, most) / most) * height;
      return `${(first + i * step).toFixed(1)},${y.toFixed(1)}`;
    })
    .join(' ');
}

/** A round number no value is above. */
export function ceiling(values: readonly number[], least: number): number {
  const most = Math.max(least, ...values);
  return [30, 60, 100, 200, 500, 1000, 2000, 5000].find((round) => round >= most) ?? most;
}
