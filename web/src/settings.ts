/** What the page remembers: the camera in this browser, the look in the URL, to be shared. */

import type { Look } from './protocol';
import type { Wanted } from './source';

const KEY = 'streamer';

export function loadWanted(): Partial<Wanted> {
  try {
    return JSON.parse(localStorage.getItem(KEY) ?? '{}');
  } catch {
    return {}; // storage may be forbidden, or hold what an older page left
  }
}

export function saveWanted(wanted: Wanted): void {
  const text = JSON.stringify(wanted);
  try {
    localStorage.setItem(KEY, text);
  } catch {
    // forbidden: then it is not remembered
  }
}

export function loadLook(query = location.search): Partial<Look> {
  const parameters = new URLSearchParams(query);
  const look: Partial<Look> = {};
  const style = parameters.get('style');
  const strength = Number.parseFloat(parameters.get('strength') ?? '');
  if (style) look.style = style;
  if (strength >= 0 && strength <= 1) look.strength = strength;
  if (parameters.get('color') === 'camera') look.preserve_color = true;
  return look;
}

export function saveLook(look: Look): void {
  const url = new URL(location.href);
  url.search = writeLook(look, url.search);
  history.replaceState(null, '', url);
}

/** `query` with the look in it; what is as usual stays out. */
export function writeLook(look: Look, query: string): string {
  const parameters = new URLSearchParams(query);
  const put = (key: string, value: string | false) =>
    value === false ? parameters.delete(key) : parameters.set(key, value);
  put('style', typeof look.style === 'string' && look.style !== '' && look.style);
  put('strength', look.strength !== 1 && String(look.strength));
  put('color', look.preserve_color && 'camera');
  return parameters.toString();
}
