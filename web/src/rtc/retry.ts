/** How long to wait for a server that is away. */

const BACK_OFF_S = [0.5, 1, 2, 4, 8];

export function backOff_s(tries: number): number {
  return BACK_OFF_S[Math.min(tries, BACK_OFF_S.length - 1)] ?? 0;
}

export type Sleep = (seconds: number, signal: AbortSignal) => Promise<void>;

/** Throws the signal's reason as soon as it is aborted. */
export const sleep: Sleep = (seconds, signal) =>
  new Promise((resolve, reject) => {
    signal.throwIfAborted();
    const timer = setTimeout(end, 1000 * seconds);
    signal.addEventListener('abort', end);
    function end() {
      clearTimeout(timer);
      signal.removeEventListener('abort', end);
      if (signal.aborted) reject(signal.reason);
      else resolve();
    }
  });
