/** How loud samples are, and where the beats are. Pure. */

const QUIET_DB = -50; // that and less is 0
const LOUD_DB = -10; // that and more is 1
const ABOVE = 1.35; // times the mean of the last seconds
const LEAST = 0.25;
const REST_S = 0.35; // between two beats
const MEMORY = 0.97; // of the mean, each time

/** 0 to 1, by the power of the samples in decibels. */
export function level(samples: Float32Array): number {
  let sum = 0;
  for (const sample of samples) sum += sample * sample;
  const db = 10 * Math.log10(sum / samples.length + 1e-12);
  return Math.min(1, Math.max(0, (db - QUIET_DB) / (LOUD_DB - QUIET_DB)));
}

export class Beats {
  #mean = 0;
  #last = Number.NEGATIVE_INFINITY;

  /** Whether a level, heard at `now` seconds, is a beat. */
  hear(level: number, now: number): boolean {
    const beat = level > LEAST && level > ABOVE * this.#mean && now - this.#last >= REST_S;
    this.#mean = MEMORY * this.#mean + (1 - MEMORY) * level;
    if (beat) this.#last = now;
    return beat;
  }
}
