/** The styles one likes best, which come first; and the order that follows. */

import type { StyleInfo } from '../rtc/protocol';

export class Favourites {
  names = $state.raw<string[]>([]);

  constructor(
    saved: readonly string[],
    readonly save: (names: readonly string[]) => void,
  ) {
    this.names = [...saved];
  }

  toggle(name: string): void {
    this.names = this.names.includes(name)
      ? this.names.filter((other) => other !== name)
      : [...this.names, name];
    this.save(this.names);
  }
}

/** Favourites first, as they were chosen; the unpainted camera stays where it is, in front. */
export function ordered(styles: readonly StyleInfo[], favourites: readonly string[]): StyleInfo[] {
  const place = ({ name }: StyleInfo) => {
    if (name === 'none') return -1;
    const found = favourites.indexOf(name);
    return found < 0 ? favourites.length : found;
  };
  return [...styles].sort((a, b) => place(a) - place(b));
}

/** Those whose name, title or description has every word of the text. */
export function found(
  styles: readonly StyleInfo[],
  text: string,
  title: (style: StyleInfo) => string,
): StyleInfo[] {
  const wanted = text.toLowerCase().split(/\s+/).filter(Boolean);
  return styles.filter((style) => {
    const all = `${style.name} ${title(style)} ${style.description ?? ''}`.toLowerCase();
    return wanted.every((word) => all.includes(word));
  });
}
