/** What each key does; the list that the page shows is in `i18n/`. */

import type { Session } from './live/session.svelte';
import { COMPARES, type View } from './settings';

export interface Targets {
  session: Session;
  view: View;
  stage: { snapshot(): void; record(): void; fullscreen(): void };
}

type Keys = Record<string, (targets: Targets) => void>;

const KEYS: Keys = {
  ArrowRight: ({ session }) => session.step(1),
  ArrowLeft: ({ session }) => session.step(-1),
};

const LIVE_KEYS: Keys = {
  ' ': ({ session }) => {
    if (session.state === 'idle' || session.state === 'failed') void session.start();
    else session.stop();
  },
  c: ({ view }) => {
    view.compare = COMPARES[(COMPARES.indexOf(view.compare) + 1) % COMPARES.length] ?? 'beside';
  },
  m: ({ view }) => {
    view.mirror = !view.mirror;
  },
  n: ({ view }) => {
    view.stats = !view.stats;
  },
  s: ({ stage }) => stage.snapshot(),
  r: ({ stage }) => stage.record(),
  f: ({ stage }) => stage.fullscreen(),
};

export function onKey(event: KeyboardEvent, targets: Targets): void {
  const { key } = event;
  const element = event.target instanceof Element ? event.target : null;
  if (event.ctrlKey || event.metaKey || event.altKey || element?.closest('select, dialog')) return;
  // Sliders and radio buttons use the arrows themselves, buttons the space bar.
  if (element?.closest('input') && /^(Arrow| )/.test(key)) return;
  if (element?.closest('button, a') && key === ' ') return;
  if (/^\d$/.test(key)) targets.session.pick(Number(key));
  const act = KEYS[key] ?? (targets.view.tab === 'live' ? LIVE_KEYS[key] : undefined);
  if (!act) return;
  event.preventDefault();
  act(targets);
}
