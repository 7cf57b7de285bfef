/** What the page remembers: devices and preferences in this browser, look and view in the URL. */

import type { Code } from './i18n/words.svelte';
import type { Wanted } from './live/source';
import { BRUSHES, type Look } from './rtc/protocol';
import { read, write } from './styles/blend';

const DEVICES = 'streamer';
const PREFERENCES = 'streamer-page';
const FAVOURITES = 'streamer-favourites';
const MIDI = 'streamer-midi';
const WAS_LIVE = 'streamer-live'; // of this tab

export const TABS = ['live', 'photo', 'video'] as const;
export const COMPARES = ['hidden', 'divider'] as const;
export const THEMES = ['auto', 'light', 'dark'] as const;
export const FITS = ['cover', 'contain'] as const;
export const TIMERS_S = [0, 3, 10] as const;
export type Tab = (typeof TABS)[number];
export type Compare = (typeof COMPARES)[number];
export type Theme = (typeof THEMES)[number];

/** What the page shows and how; like the look, part of the URL. */
export interface View {
  tab: Tab;
  compare: Compare;
  mirror: boolean;
  stats: boolean;
  /** Nothing but the painting, started without being asked. */
  kiosk: boolean;
}

/** What belongs to this browser and its user. */
export interface Preferences {
  language: Code;
  theme: Theme;
  fit: (typeof FITS)[number];
  recordBoth: boolean;
  timer_s: number;
  burst: boolean;
}

export const VIEW: View = {
  tab: 'live',
  compare: 'hidden',
  mirror: false,
  stats: false,
  kiosk: false,
};
export const PREFERRED: Omit<Preferences, 'language'> = {
  theme: 'auto',
  fit: 'cover',
  recordBoth: false,
  timer_s: 0,
  burst: false,
};

export const loadWanted = () => load<Wanted>(DEVICES);
export const saveWanted = (wanted: Wanted) => store(DEVICES, wanted);
export const loadPreferences = () => load<Preferences>(PREFERENCES);
export const savePreferences = (preferences: Preferences) => store(PREFERENCES, preferences);
export const loadFavourites = () => Object.keys(load<Record<string, true>>(FAVOURITES));
export const saveFavourites = (names: readonly string[]) =>
  store(FAVOURITES, Object.fromEntries(names.map((name) => [name, true])));
export const loadMidi = () => load<Record<string, string>>(MIDI);
export const saveMidi = (learnt: Record<string, string>) => store(MIDI, learnt);

/** Whether this tab was live when it was left, and with what. */
export function wasLive(): Wanted['kind'] | null {
  const kind = load<{ kind: Wanted['kind'] }>(WAS_LIVE, 'sessionStorage').kind;
  return kind ?? null;
}
export const saveLive = (kind: Wanted['kind'] | null) =>
  store(WAS_LIVE, kind && { kind }, 'sessionStorage');

export function loadLook(query = location.search): Partial<Look> {
  const parameters = new URLSearchParams(query);
  const look: Partial<Look> = {};
  const style = read(parameters.get('style') ?? '');
  const strength = Number.parseFloat(parameters.get('strength') ?? '');
  const smooth = Number.parseFloat(parameters.get('smooth') ?? '');
  const tone = Number.parseFloat(parameters.get('tone') ?? '');
  const brush = BRUSHES.find((one) => one === parameters.get('brush'));
  if (style !== '') look.style = style;
  if (strength >= 0 && strength <= 1) look.strength = strength;
  if (smooth >= 0 && smooth <= 0.95) look.smooth = smooth;
  if (parameters.get('color') === 'camera') look.preserve_color = true;
  if (tone >= 0 && tone <= 1) look.tone = tone;
  if (brush) look.brush = brush;
  return look;
}

export function loadView(query = location.search): View {
  const parameters = new URLSearchParams(query);
  const one = <T extends string>(key: string, known: readonly T[], usual: T) =>
    known.find((value) => value === parameters.get(key)) ?? usual;
  return {
    tab: one('tab', TABS, VIEW.tab),
    compare: one('camera', COMPARES, VIEW.compare),
    mirror: parameters.has('mirror'),
    stats: parameters.has('stats'),
    kiosk: parameters.has('kiosk'),
  };
}

/** A change of the tab is an entry of the history, so that Back goes to the last tab. */
export function saveUrl(look: Look, view: View): void {
  const url = new URL(location.href);
  const left = loadView(url.search).tab;
  url.search = writeQuery(look, view, url.search);
  if (url.href === location.href) return;
  if (left !== view.tab) history.pushState(null, '', url);
  else history.replaceState(null, '', url);
}

/** `query` with look and view in it; defaults are left out. */
export function writeQuery(look: Look, view: View, query: string): string {
  const parameters = new URLSearchParams(query);
  const put = (key: string, value: string | false) =>
    value === false ? parameters.delete(key) : parameters.set(key, value);
  put('style', look.style !== '' && write(look.style));
  put('strength', look.strength !== 1 && String(look.strength));
  put('color', look.preserve_color && 'camera');
  put('smooth', look.smooth !== null && String(look.smooth));
  put('tone', look.tone !== null && String(look.tone));
  put('brush', look.brush ?? false);
  put('tab', view.tab !== VIEW.tab && view.tab);
  put('camera', view.compare !== VIEW.compare && view.compare);
  put('mirror', view.mirror && '1');
  put('stats', view.stats && '1');
  put('kiosk', view.kiosk && '1');
  return parameters.toString();
}

type Storage = 'localStorage' | 'sessionStorage';

function load<T>(key: string, storage: Storage = 'localStorage'): Partial<T> {
  try {
    return JSON.parse(window[storage].getItem(key) ?? '{}') ?? {};
  } catch {
    return {}; // storage may be forbidden, or hold what an older page left
  }
}

function store(key: string, value: unknown, storage: Storage = 'localStorage'): void {
  const text = JSON.stringify(value);
  try {
    window[storage].setItem(key, text);
  } catch {
    // forbidden: then it is not remembered
  }
}
