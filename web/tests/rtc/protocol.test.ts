import { expect, test } from 'vitest';
import { readEnd, readIceServers, readMessage, readRefusal } from '../../src/rtc/protocol';

test('readMessage tells numbers, answers and refusals apart', () => {
  expect(readMessage('{"stats": {"in_fps": 30}}')).toEqual({ stats: { in_fps: 30 } });
  expect(readMessage('{"id": 7, "applied": {"seq": 1, "pts": 2}}')).toMatchObject({ id: 7 });
  expect(readMessage('{"id": 7, "error": {"code": "c", "message": "m"}}')).toMatchObject({ id: 7 });
});

test.each(['', 'null', '7', '{}', '{"applied": {}}', '{"id": 7}'])('%j is no message', (text) => {
  expect(readMessage(text)).toBeNull();
});

test('readIceServers reads what RFC 9725 shows', () => {
  const link =
    '<stun:stun.example:3478>; rel="ice-server", ' +
    '<turn:turn.example?transport=udp>; rel="ice-server"; username="a,b \\"c\\""; ' +
    'credential="p;q"; credential-type="password", <https://x.example>; rel="next"';
  expect(readIceServers(link)).toEqual([
    { urls: 'stun:stun.example:3478' },
    { urls: 'turn:turn.example?transport=udp', username: 'a,b "c"', credential: 'p;q' },
  ]);
  expect(readIceServers(null)).toEqual([]);
});

test('readRefusal takes the words of the server, or of whatever answered in its place', async () => {
  const ours = Response.json({ error: { code: 'server_full', message: 'no room' } });
  expect(await readRefusal(ours)).toEqual({ code: 'server_full', message: 'no room' });
  const theirs = new Response('<h1>oops</h1>', { status: 502, statusText: 'Bad Gateway' });
  expect(await readRefusal(theirs)).toEqual({ code: 'http_502', message: '502 Bad Gateway' });
});

test('why a stream was ended is read, and whether somebody else has it now', () => {
  const message = readMessage('{"ended": {"message": "the server is stopping"}}');
  expect(message).toEqual({ ended: { message: 'the server is stopping' } });
  expect(readEnd('bye')).toEqual({ detail: 'bye', replaced: false });
  const taken = { code: '', message: 'another publisher has taken its place' };
  expect(readEnd(taken).replaced).toBe(true);
});
