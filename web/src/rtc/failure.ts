/** Everything that can keep the picture from flowing, told apart by what a person can do. */

import { readRefusal } from './protocol';

export type Reason =
  | 'insecure' // the browser gives no camera to this page
  | 'denied'
  | 'no_camera'
  | 'camera_busy'
  | 'camera_lost'
  | 'no_picture' // a file that the browser cannot show
  | 'unauthorized'
  | 'server_full'
  | 'not_ready'
  | 'unreachable'
  | 'lost' // the connection, or the picture on it
  | 'unconnected' // the server answered, but no media came through
  | 'refused'; // anything else, in the server's or the browser's words

/** Reasons that pass by themselves: worth trying again without being told to. */
const PASSING: ReadonlySet<Reason> = new Set(['not_ready', 'unreachable', 'lost', 'unconnected']);

export class Failure extends Error {
  constructor(
    readonly reason: Reason,
    readonly detail = '',
    readonly retryAfter_s = 0,
  ) {
    super(`${reason} ${detail}`.trim());
  }

  /** Whether to try again; a full server only matters to those who have not been in. */
  passes(wasLive: boolean): boolean {
    return PASSING.has(this.reason) || (wasLive && this.reason === 'server_full');
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
    const reason = HTTP[code] ?? (response.status === 401 ? 'unauthorized' : undefined);
    if (reason) return new Failure(reason, message, Number(response.headers.get('Retry-After')));
    // A proxy whose server is away answers in its place.
    const proxy = response.status >= 502 && response.status <= 504;
    return new Failure(proxy ? 'unreachable' : 'refused', message);
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

/** `fetch` that throws a Failure for every answer but a success. */
export async function ask(url: string | URL, options: RequestInit = {}): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(url, options);
  } catch (error) {
    options.signal?.throwIfAborted();
    throw new Failure('unreachable', error instanceof Error ? error.message : '');
  }
  if (!response.ok) throw await Failure.fromResponse(response);
  return response;
}
