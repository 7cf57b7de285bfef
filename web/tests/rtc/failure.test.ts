import { afterEach, expect, test, vi } from 'vitest';
import { getCatalogue, getIceServers } from '../../src/rtc/api';
import { Failure, type Reason } from '../../src/rtc/failure';

afterEach(() => vi.unstubAllGlobals());

const refusal = (status: number, code: string) =>
  Response.json({ error: { code, message: 'why' } }, { status, headers: { 'Retry-After': '3' } });

test.each<[Response, Reason]>([
  [refusal(503, 'server_full'), 'server_full'],
  [refusal(503, 'not_ready'), 'not_ready'],
  [refusal(401, 'unauthorized'), 'unauthorized'],
  [new Response('', { status: 401 }), 'unauthorized'],
  [new Response('', { status: 502 }), 'unreachable'],
  [refusal(500, 'internal'), 'refused'],
])('an answer becomes its reason (%#)', async (response, reason) => {
  vi.stubGlobal('fetch', async () => response);
  await expect(getCatalogue()).rejects.toMatchObject({ reason });
});

test('a server that is gone is unreachable, and Retry-After is kept when there is one', async () => {
  vi.stubGlobal('fetch', () => Promise.reject(new TypeError('Failed to fetch')));
  await expect(getCatalogue()).rejects.toMatchObject({ reason: 'unreachable' });
  expect(await Failure.fromResponse(refusal(503, 'not_ready'))).toMatchObject({ retryAfter_s: 3 });
  expect(await Failure.fromResponse(refusal(409, 'not_live'))).toMatchObject({
    reason: 'refused',
    retryAfter_s: 3,
  });
});

test('a Retry-After that is a date is not a number of seconds', async () => {
  const headers = { 'Retry-After': 'Wed, 21 Oct 2026 07:28:00 GMT' };
  const failure = await Failure.fromResponse(new Response('', { status: 503, headers }));
  expect(failure).toMatchObject({ reason: 'unreachable', retryAfter_s: 0 });
});

test('a request that was called off is no failure', async () => {
  const calledOff = new AbortController();
  calledOff.abort();
  vi.stubGlobal('fetch', () => Promise.reject(calledOff.signal.reason));
  const asked = getIceServers('/x', calledOff.signal);
  await expect(asked).rejects.toBe(calledOff.signal.reason);
});

test('every way a camera can be missing has its own reason', () => {
  const reason = (name: string) => Failure.fromCamera(new DOMException('', name)).reason;
  expect(reason('NotAllowedError')).toBe('denied');
  expect(reason('NotFoundError')).toBe('no_camera');
  expect(reason('NotReadableError')).toBe('camera_busy');
  expect(Failure.fromCamera(new TypeError('odd'))).toMatchObject({
    reason: 'refused',
    detail: 'odd',
  });
});

test('a full server is worth another try only for those who were in', () => {
  const full = new Failure('server_full');
  expect([full.passes(false), full.passes(true)]).toEqual([false, true]);
  expect(new Failure('denied').passes(true)).toBe(false);
  expect(new Failure('unreachable').passes(false)).toBe(true);
});
