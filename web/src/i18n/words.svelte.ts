/** The language of the page, and its texts. */

import type { Failure } from '../rtc/failure';
import { en, type Words } from './en';
import { es } from './es';

export const LANGUAGES = { en: 'English', es: 'Español' } as const;
export type Code = keyof typeof LANGUAGES;

const WORDS: Record<Code, Words> = { en, es };

/** The first of the browser's languages that the page speaks. */
export function preferred(languages: readonly string[]): Code {
  const spoken = languages.map((tag) => tag.slice(0, 2).toLowerCase());
  return (spoken.find((code) => code in WORDS) as Code | undefined) ?? 'en';
}

class Language {
  code = $state<Code>('en');
}

export const language = new Language();

/** Every text, in the language chosen now. */
export function words(): Words {
  return WORDS[language.code];
}

export interface Notice {
  title: string;
  /** What to do about it. */
  remedy: string;
  detail: string;
}

export function notice({ reason, detail }: Failure): Notice {
  const [title, remedy] = words().failures[reason];
  return { title, remedy, detail: reason === 'refused' ? detail : '' };
}
