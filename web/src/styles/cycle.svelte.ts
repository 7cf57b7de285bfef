/** Changes the style by itself every so often. */

import type { Session } from '../live/session.svelte';

export const CYCLES_S = [0, 5, 10, 30, 60, 300];

export class Cycle {
  /** 0: never. */
  every_s = $state(0);
  shuffle = $state(false);

  constructor(readonly session: Session) {}

  /** The next style, or any other one. */
  next(): void {
    if (this.shuffle) this.session.random();
    else this.session.step(1);
  }

  /** For `$effect`: turns while the stream is live. */
  run(): (() => void) | undefined {
    if (this.every_s === 0 || this.session.state !== 'live') return;
    const timer = setInterval(() => this.next(), 1000 * this.every_s);
    return () => clearInterval(timer);
  }
}
