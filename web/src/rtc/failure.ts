/** Every reason why no video flows, told apart by what a person can do about it. */

import { readRefusal } from './protocol';

export type Reason =
  | 'insecure' // the browser gives no camera to this page
  | 'denied'
  | 'no_camera'
  | 'camera_busy'
  | 'camera_lost'
  | 'no_picture' // a file that the browser cannot read
  | 'unauthorized'
  | 'server_full'
  | 'not_ready'
  | 'unreachable'
  | 'lost' // the connection, or the video on it
  | 'ended' // by the server, which says why
  | 'replaced' // another publisher has the stream now
  | 'unconnected' // the server answered, but no media came through
  | 'refused'; // anything else, in the server's or the browser's words

/** Reasons that pass by themselves: worth another try without being asked. */
const PASSING: ReadonlySet<Reason> = new Set(['not_ready', 'unreachable', 'lost', 'unconnected']);

const CAMERAS: ReadonlySet<Reason> = new Set(['camera_lost', 'camera_busy', 'denied', 'no_camera']);

export class Failure extends Error {
  constructor(
    readonly reason: Reason,
    readonly detail = '',
    readonly retryAfter_s = 0,
  ) {
    super(`${reason} ${detail}`.trim());
  }

  /** Whether it is the camera's, which may be back at any time. */
  get fromCamera(): boolean {
    return CAMERAS.has(this.reason);
  }

  /**
   * Whether to try again. A full server only matters to those who have not been in, and what the
   * server ended may be had again: it restarts, or something took too long.
   */
  passes(wasLive: boolean): boolean {
    const { reason } = this;
    return PASSING.has(reason) || (wasLive && (reason === 'server_full' || reason === 'ended'));
  }

  static from(error: unknown): Failure {
    if (error instanceof Failure) return error;
    return new Failure('refused', error instanceof Error ? error.message : String(error));
  }

  /** What `getUserMedia` threw. */
  static fromCamera(error: unknown): Failure {
    const name = error instanceof DOMException ? error.name : '';
    const reason = CAMERA[name];
    return reason ? new Failure(reason) : Failure.from(error);
  }

  /** What an HTTP answer that is no success says. */
  static async fromResponse(response: Response): Promise<Failure> {
    const { code, message } = await readRefusal(response);
    const { status, headers } = response;
    // 502 to 504: a proxy whose server is away answers in its place.
    const other =
      status === 401 ? 'unauthorized' : status >= 502 && status <= 504 ? 'unreachable' : 'refused';
    const retryAfter_s = Number(headers.get('Retry-After')) || 0; // it may be a date, or absent
    return new Failure(HTTP[code] ?? other, message, retryAfter_s);
  }
}

const CAMERA: Record<string, Reason | undefined> = {
  NotAllowedError: 'denied',
  SecurityError: 'insecure',
  NotFoundError: 'no_camera',
  OverconstrainedError: 'no_camera',
  NotReadableError: 'camera_busy',
  AbortError: 'camera_busy',
};

const HTTP: Record<string, Reason | undefined> = {
  unauthorized: 'unauthorized',
  server_full: 'server_full',
  not_ready: 'not_ready',
};
