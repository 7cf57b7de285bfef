/** A blend of styles: one name, or up to three names whose weights sum to 1. Pure. */

import type { FileLook, Look, Style } from '../rtc/protocol';

export const MOST = 3;

/** Names with their weights, whichever way the style is written. */
export function shares(style: Style): Record<string, number> {
  if (typeof style !== 'string') return style;
  return style === '' ? {} : { [style]: 1 };
}

/** Add a style to the blend, or remove it; the newest gets an equal share. */
export function toggle(style: Style, name: string): Style {
  const { [name]: known, ...others } = shares(style);
  if (known !== undefined) return Object.keys(others).length === 0 ? style : scaled(others, 1);
  const kept = Object.fromEntries(Object.entries(others).slice(1 - MOST));
  const part = 1 / (Object.keys(kept).length + 1);
  return scaled({ ...scaledShares(kept, 1 - part), [name]: part }, 1);
}

/** Give one style this weight (0 to 1); the others keep their proportions in what is left. */
export function weigh(style: Style, name: string, weight: number): Style {
  const { [name]: _, ...others } = shares(style);
  const rest = scaledShares(others, 1 - weight);
  // In the order they had, so that sliders stay where they are.
  return Object.fromEntries(
    Object.keys(shares(style)).map((key) => [key, key === name ? weight : (rest[key] ?? 0)]),
  );
}

/** As `?style=` and `POST /stylize/{style}` have it: `mosaic`, or `a:0.7,b:0.3`. */
export function write(style: Style): string {
  if (typeof style === 'string') return style;
  return Object.entries(style)
    .map(([name, weight]) => `${name}:${Number(weight.toFixed(2))}`)
    .join(',');
}

/** Reads what `write` wrote; an invalid weight counts as 1. */
export function read(text: string): Style {
  if (!/[:,]/.test(text)) return text;
  const found: Record<string, number> = {};
  for (const part of text.split(',').slice(0, MOST)) {
    const [name = '', weight = '1'] = part.split(':');
    const number = Number.parseFloat(weight);
    if (name) found[name] = number >= 0 && number <= 1 ? number : 1;
  }
  return scaled(found, 1);
}

/** The part of a look that a photo or a video can have. */
export function fileLook({ style, strength, preserve_color, brush }: Look): FileLook {
  return { style: write(style), strength, preserve_color, ...(brush && { brush }) };
}

function scaled(weights: Record<string, number>, sum: number): Style {
  const names = Object.keys(weights);
  return names.length === 1 ? (names[0] ?? '') : scaledShares(weights, sum);
}

function scaledShares(weights: Record<string, number>, sum: number): Record<string, number> {
  const entries = Object.entries(weights);
  const total = entries.reduce((all, [, weight]) => all + weight, 0);
  return Object.fromEntries(
    entries.map(([name, weight]) => [
      name,
      total > 0 ? (sum * weight) / total : sum / entries.length,
    ]),
  );
}
