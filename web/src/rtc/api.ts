/** Every HTTP request of the page, one function a route. All of them throw Failure. */

import { Failure } from './failure';
import {
  type Catalogue,
  type FileLook,
  readIceServers,
  readRefusal,
  type StyleInfo,
  type VideoReport,
} from './protocol';

/** Where a reverse proxy has the server (--root-path); no document where Vite reads this file. */
export const ROOT = globalThis.document?.documentElement.dataset.root ?? '';

/** The server's paths; `npm run dev` hands them on. */
export const ROUTES = {
  styles: `${ROOT}/styles`,
  stylize: `${ROOT}/stylize`,
  videos: `${ROOT}/videos`,
  phone: `${ROOT}/phone`,
  tokens: `${ROOT}/tokens`,
  whip: `${ROOT}/whip`,
  whep: `${ROOT}/whep`,
};
const STYLIZING = 'stylizing'; // the server's name for this state of a video

/** Where a stream is published (WHIP, RFC 9725), and where it is viewed (WHEP). */
export const whip = (name: string) => `${ROUTES.whip}/${encodeURIComponent(name)}`;
export const whep = (name: string) => `${ROUTES.whep}/${encodeURIComponent(name)}`;

/** `GET /styles`. */
export async function getCatalogue(): Promise<Catalogue> {
  return (await ask(ROUTES.styles)).json();
}

/** `POST /styles`: the style of this picture, from now on in the catalogue. */
export async function addStyle(picture: File): Promise<StyleInfo> {
  return (await ask(ROUTES.styles, { method: 'POST', body: form(picture) })).json();
}

const styleUrl = (name: string) => `${ROUTES.styles}/${encodeURIComponent(name)}`;

/** `PATCH /styles/{name}`: another title for a style of one's own. */
export async function renameStyle(name: string, title: string): Promise<StyleInfo> {
  const headers = { 'Content-Type': 'application/json' };
  const body = JSON.stringify({ title });
  return (await ask(styleUrl(name), { method: 'PATCH', headers, body })).json();
}

/** `DELETE /styles/{name}`: forget a style of one's own. */
export async function removeStyle(name: string): Promise<void> {
  await ask(styleUrl(name), { method: 'DELETE' });
}

/** Where the model of a style of one's own is, for a link. */
export const styleModel = (name: string) => `${styleUrl(name)}/model`;

/** `POST /stylize/{style}`: the stylized picture, a JPEG. */
export async function stylize(
  picture: Blob,
  { style, ...rest }: Partial<FileLook> & Pick<FileLook, 'style'>,
  signal: AbortSignal,
): Promise<Blob> {
  const url = `${ROUTES.stylize}/${encodeURIComponent(style)}?${query(rest)}`;
  return (await ask(url, { method: 'POST', body: form(picture), signal })).blob();
}

export interface Upload {
  signal: AbortSignal;
  /** 0 to 1; null: the browser does not know. */
  onprogress(share: number | null): void;
}

/** Upload a video: the URL of the video on the server. By XHR, as fetch reports no progress. */
export function uploadVideo(file: File, look: FileLook, upload: Upload): Promise<string> {
  const { signal, onprogress } = upload;
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open('POST', `${ROUTES.videos}?${query({ name: file.name, ...look })}`);
    request.setRequestHeader('Content-Type', 'application/octet-stream');
    request.upload.onprogress = ({ loaded, total }) =>
      onprogress(total > 0 ? loaded / total : null);
    request.onabort = () => reject(signal.reason);
    request.onerror = () => reject(new Failure('unreachable'));
    request.onload = async () => {
      const location = request.getResponseHeader('Location');
      if (request.status === 201 && location) return resolve(location);
      const answer = new Response(request.responseText, { status: request.status });
      const { code, message } = await readRefusal(answer.clone());
      // What `server_full` means on the page is connections; here it is the queue of videos.
      const full = code === 'server_full';
      reject(full ? new Failure('refused', message) : await Failure.fromResponse(answer));
    };
    signal.addEventListener('abort', () => request.abort());
    request.send(file);
  });
}

/** How far a video is, by its URL. */
export async function getVideo(url: string, signal: AbortSignal): Promise<VideoReport> {
  const report = await (await ask(url, { signal })).json();
  return report.state === STYLIZING ? { ...report, state: 'stylizing' } : report;
}

/** Where the stylized video is, for a link. */
export const videoResult = (url: string) => `${url}/result`;

/** Its first stylized frame, for a picture; not there before it is stylized. */
export const videoPreview = (url: string) => `${url}/preview`;

/** Cancel a video, and delete its files on the server. */
export async function deleteVideo(url: string): Promise<void> {
  await ask(url, { method: 'DELETE' });
}

/** `GET /phone`: an address of this page for a phone nearby, if there is one; for admins only. */
export async function getPhone(): Promise<{ url: string | null; closed: boolean }> {
  return (await ask(ROUTES.phone)).json();
}

/** `POST /phone`: an address that lets a phone publish, with its QR code as SVG. */
export async function invitePhone(): Promise<{ id: string; url: string; qr: string }> {
  return (await ask(ROUTES.phone, { method: 'POST' })).json();
}

/** `POST /tokens`: a token that may watch this stream and nothing else. */
export async function inviteViewers(stream: string): Promise<{ id: string; token: string }> {
  const headers = { 'Content-Type': 'application/json' };
  const body = JSON.stringify({ stream, note: 'viewers' });
  return (await ask(ROUTES.tokens, { method: 'POST', headers, body })).json();
}

/** `DELETE /tokens/{id}`: who came by this token comes no more. */
export async function revoke(id: string): Promise<void> {
  await ask(`${ROUTES.tokens}/${encodeURIComponent(id)}`, { method: 'DELETE' });
}

/** Addresses for others, on this origin: of the page, and of a stream. */
export const HOME = `${ROOT}/`;
export const links = (name: string) => ({
  watch: `${ROOT}/watch/${encodeURIComponent(name)}`,
  whep: whep(name),
  mjpeg: `${ROOT}/streams/${encodeURIComponent(name)}.mjpeg`,
});

/** `OPTIONS` of a WHIP or WHEP endpoint. */
export async function getIceServers(
  endpoint: string,
  signal: AbortSignal,
): Promise<RTCIceServer[]> {
  const { headers } = await ask(endpoint, { method: 'OPTIONS', signal });
  return readIceServers(headers.get('Link'));
}

/** `POST` to a WHIP or WHEP endpoint: the SDP answer, and the URL that `hangUp` takes. */
export async function sendOffer(
  endpoint: string,
  sdp: string,
  signal: AbortSignal,
): Promise<{ answer: string; resource: URL }> {
  const headers = { 'Content-Type': 'application/sdp' };
  const response = await ask(endpoint, { method: 'POST', headers, body: sdp, signal });
  const resource = new URL(response.headers.get('Location') ?? '', response.url);
  return { answer: await response.text(), resource };
}

/** Whether a session goes on: false only when the server says that it does not. */
export async function goesOn(resource: URL): Promise<boolean> {
  try {
    return (await fetch(resource, { method: 'HEAD' })).status !== 404;
  } catch {
    return true;
  }
}

/** `DELETE` of a WHIP or WHEP session; also from a page that is being closed. */
export function hangUp(resource: URL): void {
  fetch(resource, { method: 'DELETE', keepalive: true }).catch(() => {});
}

async function ask(url: string, options: RequestInit = {}): Promise<Response> {
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

function form(image: Blob): FormData {
  const body = new FormData();
  body.set('image', image, image instanceof File ? image.name : 'picture');
  return body;
}

function query(values: Record<string, string | number | boolean>): URLSearchParams {
  return new URLSearchParams(Object.entries(values).map(([key, value]) => [key, String(value)]));
}
