/** Videos on the server: sent, followed until they are stylized, and fetched. */

import { deleteVideo, getVideo, stylize, uploadVideo, videoPreview, videoResult } from '../rtc/api';
import { Failure } from '../rtc/failure';
import type { Look, VideoReport, VideoState } from '../rtc/protocol';
import { backOff_s, type Sleep, sleep } from '../rtc/retry';
import { fileLook } from '../styles/blend';
import { Film } from './film';

const POLL_S = 0.7;
const FRAME_S = 1.5; // between two painted frames that are shown while a film is painted
export const FRAME_PX = 270;
const KEY = 'streamer-videos';

export class Video {
  state = $state<VideoState>('uploading');
  /** Of the upload while it lasts, then of the stylizing; 0 to 1, null: not known. */
  progress = $state<number | null>(0);
  report = $state.raw<VideoReport | null>(null);
  failure = $state.raw<Failure | null>(null);
  /** Ends whatever is going on for it. */
  readonly run = new AbortController();
  /** A frame as it is being painted. */
  frame = $state<string | null>(null);

  constructor(
    readonly name: string,
    public url = '',
    /** As it was chosen; null after a reload of the page. */
    readonly film: Film | null = null,
  ) {}

  get result(): string {
    return videoResult(this.url);
  }

  /** Its first painted frame, as the server has it. */
  get preview(): string {
    return videoPreview(this.url);
  }

  close(): void {
    this.run.abort();
    this.film?.close();
    this.show(null);
  }

  show(frame: Blob | null): void {
    if (this.frame) URL.revokeObjectURL(this.frame);
    this.frame = frame && URL.createObjectURL(frame);
  }

  get finished(): boolean {
    return this.state === 'done' || this.state === 'failed';
  }

  take(report: VideoReport): void {
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

export class Videos {
  all = $state<Video[]>([]);

  constructor(readonly wait: Sleep = sleep) {}

  /** Take up the videos that a reload of the page left behind. */
  restore(): void {
    try {
      const kept: [string, string][] = JSON.parse(sessionStorage.getItem(KEY) ?? '[]');
      for (const [name, url] of kept) {
        const video = new Video(name, url);
        video.state = 'waiting';
        this.all.push(video);
        void this.#run(video, () => this.#follow(video));
      }
    } catch {
      // nothing kept, or nothing that can be read
    }
  }

  /** Send a video to be stylized with this look. */
  add(file: File, look: Look): void {
    const video = new Video(file.name, '', new Film(file));
    this.all.unshift(video);
    void this.#run(video, async () => {
      const { signal } = video.run;
      const onprogress = (share: number | null) => {
        video.progress = share;
      };
      video.url = await uploadVideo(file, fileLook(look), { signal, onprogress });
      this.#keep();
      void this.#watch(video, look);
      await this.#follow(video);
    });
  }

  /** While it is painted, shows the frame it has come to, painted small. */
  async #watch(video: Video, look: Look): Promise<void> {
    const { signal } = video.run;
    while (!signal.aborted && !video.finished) {
      if (video.state === 'stylizing') {
        const frame = await video.film?.frame(video.progress ?? 0, FRAME_PX);
        if (!frame) return;
        video.show(await stylize(frame, fileLook(look), signal).catch(() => frame));
      }
      await this.wait(FRAME_S, signal).catch(() => {});
    }
  }

  /** Cancel it if it is not finished, and remove it here and on the server. */
  async remove(video: Video): Promise<void> {
    video.state = 'cancelled';
    video.close();
    this.all = this.all.filter((other) => other !== video);
    this.#keep();
    if (video.url) await deleteVideo(video.url).catch(() => {});
  }

  async #run(video: Video, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (!video.run.signal.aborted) video.fail(Failure.from(error));
    }
  }

  /** Until it is finished; asks ever more rarely while the server is away. */
  async #follow(video: Video): Promise<void> {
    const { signal } = video.run;
    for (let failures = 0; ; ) {
      try {
        video.take(await getVideo(video.url, signal));
        if (video.finished) return;
        failures = 0;
      } catch (error) {
        if (signal.aborted || !Failure.from(error).passes(false)) throw error;
        failures++;
      }
      await this.wait(Math.max(POLL_S, failures && backOff_s(failures)), signal);
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
