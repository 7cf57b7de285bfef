/** What each key does; the list that the page shows is in `i18n/`. */

import type { Session } from './live/session.svelte';
import type { View } from './settings';

export interface Targets {
  session: Session;
  view: View;
  stage: {
    shoot(): void;
    record(): void;
    fullscreen(): void;
    pause(): void;
    hold(held: boolean): void;
  };
  all(): void;
  close(): void;
}

type Keys = Record<string, (targets: Targets) => void>;

/** Keys with their names in the list. */
export const SHOWN = [
  ['1 – 9', 'digits'],
  ['← →', 'arrows'],
  ['Space', 'space'],
  ['O', 'hold'],
  ['C', 'compare'],
  ['M', 'mirror'],
  ['N', 'stats'],
  ['S', 'snapshot'],
  ['R', 'record'],
  ['A', 'all'],
  ['X', 'random'],
  ['F', 'fullscreen'],
] as const;

const KEYS: Keys = {
  ArrowRight: ({ session }) => session.step(1),
  ArrowLeft: ({ session }) => session.step(-1),
  Escape: ({ close }) => close(),
  a: ({ all }) => all(),
  x: ({ session }) => session.random(),
};

const LIVE_KEYS: Keys = {
  ' ': ({ session, stage }) => {
    if (session.state === 'idle' || session.state === 'failed') void session.start();
    else stage.pause();
  },
  c: ({ view }) => {
    view.compare = view.compare === 'divider' ? 'hidden' : 'divider';
  },
  m: ({ view }) => {
    view.mirror = !view.mirror;
  },
  n: ({ view }) => {
    view.stats = !view.stats;
  },
  o: ({ stage }) => stage.hold(true),
  s: ({ stage }) => stage.shoot(),
  r: ({ stage }) => stage.record(),
  f: ({ stage }) => stage.fullscreen(),
};

export function onKey(event: KeyboardEvent, targets: Targets): void {
  const { key } = event;
  const element = event.target instanceof Element ? event.target : null;
  if (event.ctrlKey || event.metaKey || event.altKey || element?.closest('select, dialog')) return;
  if (element?.closest('input:is([type=text], [type=search])') && key !== 'Escape') return;
  // Sliders and radio buttons use the arrows themselves, buttons the space bar.
  if (element?.closest('input, video[controls]') && /^(Arrow| )/.test(key)) return;
  if (element?.closest('button, a, summary') && key === ' ') return;
  if (/^\d$/.test(key)) targets.session.pick(Number(key));
  const act = KEYS[key] ?? (targets.view.tab === 'live' ? LIVE_KEYS[key] : undefined);
  if (!act) return;
  event.preventDefault();
  act(targets);
}
