/** What sound and controllers can move. */

import type { Session } from '../live/session.svelte';
import { shares, weigh } from '../styles/blend';

export const KNOBS = ['strength', 'mix', 'tone', 'calm'] as const;
export const PADS = ['next', 'previous', 'shutter'] as const;
export type Knob = (typeof KNOBS)[number];
export type Pad = (typeof PADS)[number];

/** Turn a knob to a value of 0 to 1. */
export function turn(session: Session, knob: Knob, value: number): void {
  if (knob === 'strength') session.set({ strength: value });
  else if (knob === 'tone') session.set({ tone: value });
  else if (knob === 'calm') session.set({ smooth: 0.95 * value });
  else {
    const style = session.look.style;
    const [, second] = Object.keys(shares(style));
    if (second) session.set({ style: weigh({ ...shares(style) }, second, value) }, 0);
  }
}
