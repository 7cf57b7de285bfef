/** The JSON the server speaks, and the states the page knows. */

import type { CaptureTime } from './latency';

export interface StyleInfo {
  name: string;
  title: string;
  model: string;
  description?: string;
  /** By a user, who may rename and remove it. */
  added?: boolean;
}

export interface Catalogue {
  default: string;
  styles: StyleInfo[];
}

/** A style's name, or styles with their weights. */
export type Style = string | Record<string, number>;

/** The size of the strokes: 720, 540 or 360 lines. */
export const BRUSHES = ['fine', 'medium', 'bold'] as const;
export type Brush = (typeof BRUSHES)[number];

/** How the stream is stylized. */
export interface Look {
  style: Style;
  strength: number;
  preserve_color: boolean;
  /** Against flicker, 0 to 0.95; null: as the server is set up. */
  smooth: number | null;
  /** From the picture's own colours, 0, to the same ones for every picture, 1; null: as the server is set up. */
  tone: number | null;
  /** null: as the server is set up; of a photo or a video, as fine as it is. */
  brush: Brush | null;
}

/** How a photo or a video is stylized; `style` is written as `mosaic` or `a:0.7,b:0.3`. */
export interface FileLook {
  style: string;
  strength: number;
  preserve_color: boolean;
  brush?: Brush;
}

/** The states of a live session. */
export type State = 'idle' | 'connecting' | 'live' | 'failed';

/** The states of a video on the server, and before and after it is there. */
export type VideoState = 'uploading' | VideoReport['state'] | 'cancelled';

/** What the server reports of a video. */
export interface VideoReport {
  state: 'waiting' | 'stylizing' | 'done' | 'failed';
  frames: number;
  /** 0: not known. */
  total: number;
  fps: number;
  eta_s: number | null;
  message: string;
}

/** What a client may ask for at any time. */
export type Change = Partial<Look> & { transition_s?: number };

/** The first frame that left the server with a change. */
export interface Applied {
  seq: number;
  pts: number;
}

export interface Quantiles {
  p50: number;
  p95: number;
}

export const STAGES = ['wait', 'transfer', 'inference', 'reorder', 'pace', 'encode'] as const;
export const DROPS = ['intake', 'deadline', 'lost', 'late', 'skipped', 'encode'] as const;
export type Stage = (typeof STAGES)[number];
export type Drop = (typeof DROPS)[number];

export interface Worker {
  state: 'ready' | 'busy' | 'restarting' | (string & {});
}

/** What the server reports of one stream, once a second. */
export interface Stats {
  in_fps: number;
  out_fps: number;
  width: number;
  height: number;
  height_px: number;
  dropped: Record<Drop, number>;
  latency_ms: Quantiles;
  stages_ms: Record<Stage, Quantiles>;
  bitrate_bps: number;
  workers: Worker[];
  style: Record<string, number>;
  strength: number;
  smooth: number;
  tone: number;
  brush: Brush;
  /** When the camera saw the frame of an RTP time; null until the first reports are in. */
  capture_time: CaptureTime | null;
}

export interface Refusal {
  code: string;
  message: string;
}

export type Message =
  | { stats: Stats }
  | { ended: string | Refusal }
  | { id: number; applied: Applied }
  | { id: number; error: Refusal };

/** One message of the data channel; null for what this page does not know. */
export function readMessage(text: string): Message | null {
  let message: unknown;
  try {
    message = JSON.parse(text);
  } catch {
    return null;
  }
  if (typeof message !== 'object' || message === null) return null;
  if ('stats' in message || 'ended' in message) return message as Message;
  const answers = 'applied' in message || 'error' in message;
  return answers && 'id' in message ? (message as Message) : null;
}

/** Why the server ended a stream, in words. */
export function readEnd(ended: string | Refusal): { detail: string; replaced: boolean } {
  const detail = typeof ended === 'string' ? ended : (ended.message ?? '');
  return { detail, replaced: /^another publisher/.test(detail) };
}

/** The error an HTTP answer carries, whatever else stands between us and the server. */
export async function readRefusal(response: Response): Promise<Refusal> {
  const body: unknown = await response.json().catch(() => null);
  const refusal = (body as { error?: Partial<Refusal> } | null)?.error;
  return {
    code: refusal?.code ?? `http_${response.status}`,
    message: refusal?.message ?? `${response.status} ${response.statusText}`.trim(),
  };
}

/** ICE servers in a `Link` header (RFC 9725 §4.6): `<turn:h>; rel="ice-server"; username="u"`. */
export function readIceServers(link: string | null): RTCIceServer[] {
  const servers: RTCIceServer[] = [];
  for (const [, url, rest] of (link ?? '').matchAll(/<([^>]*)>((?:[^,"]|"(?:\\.|[^"\\])*")*)/g)) {
    const parameters = readParameters(rest ?? '');
    if (parameters.rel !== 'ice-server' || !url) continue;
    const { username, credential } = parameters;
    servers.push(username === undefined ? { urls: url } : { urls: url, username, credential });
  }
  return servers;
}

function readParameters(text: string): Record<string, string | undefined> {
  const found = text.matchAll(/;\s*([\w-]+)\s*=\s*(?:"((?:\\.|[^"\\])*)"|([^;,\s]*))/g);
  return Object.fromEntries(
    [...found].map(([, key, quoted, bare]) => [key, quoted?.replace(/\\(.)/g, '$1') ?? bare]),
  );
}
