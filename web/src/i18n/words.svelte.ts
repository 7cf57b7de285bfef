/** The language of the page, and its texts: one JSON catalogue a language, loaded when chosen. */

import type { Failure } from '../rtc/failure';
import en from './en.json';

export type Words = typeof en;

export const LANGUAGES = {
  en: 'English',
  es: 'Español',
  de: 'Deutsch',
  fr: 'Français',
  pt: 'Português',
  ja: '日本語',
  zh: '中文',
} as const;
export type Code = keyof typeof LANGUAGES;

const OTHERS = import.meta.glob<{ default: Words }>(['./*.json', '!./en.json']);

/** The first of the browser's languages that the page speaks. */
export function preferred(languages: readonly string[]): Code {
  const spoken = languages.map((tag) => tag.slice(0, 2).toLowerCase());
  return (spoken.find((code) => code in LANGUAGES) as Code | undefined) ?? 'en';
}

class Language {
  code = $state<Code>('en');
  words = $state.raw<Words>(en);

  /** Change to a language; the old one stays until the new one is here. */
  async choose(code: Code): Promise<void> {
    const catalogue = await OTHERS[`./${code}.json`]?.().catch(() => null);
    if (code !== 'en' && !catalogue) return; // the server is away: the old one does
    this.words = catalogue?.default ?? en;
    this.code = code;
  }
}

export const language = new Language();

/** Every text, in the language chosen now. */
export function words(): Words {
  return language.words;
}

/** `{name}` in a text, replaced by the value of that name. */
export function fill(text: string, values: Record<string, string | number>): string {
  return text.replace(/\{(\w+)\}/g, (all, name: string) => String(values[name] ?? all));
}

/** The name of a style in the language chosen now; those of one's own are as they were called. */
export function titled({ name, title }: { name: string; title: string }): string {
  return (words().titles as Record<string, string>)[name] ?? title;
}

export interface Notice {
  title: string;
  /** What to do about it. */
  remedy: string;
  detail: string;
}

export function notice({ reason, detail }: Failure): Notice {
  const { title, remedy } = words().failures[reason];
  return { title, remedy, detail: reason === 'refused' || reason === 'ended' ? detail : '' };
}
