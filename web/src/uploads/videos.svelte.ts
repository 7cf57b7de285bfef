/** Films on the server: sent, watched until they are painted, and fetched. */

import { ask, Failure } from '../rtc/failure';
import { type Look, readRefusal } from '../rtc/protocol';
import { write } from '../styles/blend';

const LOOK_EVERY_MS = 700;
const KEY = 'streamer-films';

export type FilmState = 'uploading' | 'waiting' | 'painting' | 'done' | 'failed' | 'gone';

/** What `GET /films/{id}` says. */
export interface FilmReport {
  state: 'waiting' | 'painting' | 'done' | 'failed';
  frames: number;
  total: number;
  fps: number;
  eta_s: number | null;
  message: string;
}

export class Film {
  state = $state<FilmState>('uploading');
  /** Of the upload while it lasts, then of the painting; 0 to 1, null: nobody knows. */
  progress = $state<number | null>(0);
  report = $state.raw<FilmReport | null>(null);
  failure = $state.raw<Failure | null>(null);
  upload: XMLHttpRequest | null = null;

  constructor(
    readonly name: string,
    public url = '',
  ) {}

  get result(): string {
    return `${this.url}/result`;
  }

  /** Take over what the server says. */
  take(report: FilmReport): void {
    this.report = report;
    this.state = report.state;
    this.progress = report.total > 0 ? Math.min(report.frames / report.total, 1) : null;
    if (report.state === 'failed') this.failure = new Failure('refused', report.message);
  }

  fail(failure: Failure): void {
    this.failure = failure;
    this.state = 'failed';
  }
}

export class Films {
  all = $state<Film[]>([]);

  /** Take up the films that a reload of the page left behind. */
  restore(): void {
    try {
      const kept: [string, string][] = JSON.parse(sessionStorage.getItem(KEY) ?? '[]');
      for (const [name, url] of kept) {
        const film = new Film(name, url);
        film.state = 'waiting';
        this.all.push(film);
        void this.#watch(film);
      }
    } catch {
      // nothing kept, or nothing that can be read
    }
  }

  /** Send a film and have it painted like this. */
  add(file: File, look: Pick<Look, 'style' | 'strength' | 'preserve_color'>): void {
    this.all.unshift(new Film(file.name));
    const film = this.all[0];
    if (film) void this.#send(film, file, look);
  }

  /** Stop it, wherever it is, and forget it here and there. */
  async remove(film: Film): Promise<void> {
    film.state = 'gone';
    film.upload?.abort();
    this.all = this.all.filter((other) => other !== film);
    this.#keep();
    if (film.url) await ask(film.url, { method: 'DELETE' }).catch(() => {});
  }

  async #send(
    film: Film,
    file: File,
    look: Pick<Look, 'style' | 'strength' | 'preserve_color'>,
  ): Promise<void> {
    const query = new URLSearchParams({
      name: file.name,
      style: write(look.style),
      strength: String(look.strength),
      preserve_color: String(look.preserve_color),
    });
    try {
      film.url = await upload(film, `/films?${query}`, file);
    } catch (error) {
      if (film.state !== 'gone') film.fail(Failure.from(error));
      return;
    }
    this.#keep();
    await this.#watch(film);
  }

  /** Until it is finished, looking past moments in which the server is away. */
  async #watch(film: Film): Promise<void> {
    const over = () => film.state === 'done' || film.state === 'failed' || film.state === 'gone';
    while (!over()) {
      try {
        const report: FilmReport = await (await ask(film.url)).json();
        if (!over()) film.take(report);
      } catch (error) {
        const failure = Failure.from(error);
        if (!failure.passes(false) && !over()) film.fail(failure);
      }
      await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
    }
  }

  #keep(): void {
    const kept = this.all.filter(({ url }) => url).map(({ name, url }) => [name, url]);
    try {
      sessionStorage.setItem(KEY, JSON.stringify(kept));
    } catch {
      // forbidden: then a reload forgets them
    }
  }
}

/** Where the film is from now on. `fetch` does not tell how far an upload is. Throws Failure. */
function upload(film: Film, url: string, file: File): Promise<string> {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    film.upload = request;
    request.open('POST', url);
    request.setRequestHeader('Content-Type', 'application/octet-stream');
    request.upload.onprogress = ({ loaded, total }) => {
      film.progress = total > 0 ? loaded / total : null;
    };
    request.onerror = request.onabort = () => reject(new Failure('unreachable'));
    request.onload = async () => {
      const location = request.getResponseHeader('Location');
      if (request.status === 201 && location) return resolve(location);
      const answer = new Response(request.responseText, { status: request.status });
      const { code, message } = await readRefusal(answer.clone());
      reject(
        code === 'server_full'
          ? new Failure('refused', message)
          : await Failure.fromResponse(answer),
      );
    };
    request.send(file);
  });
}
