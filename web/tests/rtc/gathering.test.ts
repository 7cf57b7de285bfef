import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { gathered } from '../../src/rtc/gathering';

class Gathering extends EventTarget {
  iceGatheringState = 'gathering';

  constructor(readonly iceServers: RTCIceServer[] = []) {
    super();
  }

  getConfiguration = () => ({ iceServers: this.iceServers });

  find(candidate = 'candidate:1 1 udp 2 192.0.2.7 5000 typ host') {
    this.dispatchEvent(Object.assign(new Event('icecandidate'), { candidate: { candidate } }));
  }

  complete() {
    this.iceGatheringState = 'complete';
    this.dispatchEvent(new Event('icegatheringstatechange'));
  }
}

/** Whether the offer can go, asked again and again. */
function start(pc: Gathering) {
  const done = vi.fn();
  void gathered(pc as unknown as RTCPeerConnection).then(done);
  return async (passed_ms: number) => {
    await vi.advanceTimersByTimeAsync(passed_ms);
    return done.mock.calls.length > 0;
  };
}

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

test('an offer goes as soon as this machine named its addresses', async () => {
  const pc = new Gathering();
  const ready = start(pc);
  expect(await ready(50)).toBe(false);
  pc.find();
  expect(await ready(15)).toBe(false);
  pc.find(); // of another network
  expect(await ready(15)).toBe(false);
  expect(await ready(10)).toBe(true);
});

test('with a STUN server it waits for what that says, but not for ever', async () => {
  const answered = new Gathering([{ urls: 'stun:192.0.2.1' }]);
  const ready = start(answered);
  answered.find();
  expect(await ready(500)).toBe(false);
  answered.complete();
  expect(await ready(0)).toBe(true);
  const silent = new Gathering([{ urls: 'stun:192.0.2.1' }]);
  const late = start(silent);
  silent.find();
  expect(await late(900)).toBe(false);
  expect(await late(200)).toBe(true);
});

test('an offer without candidates goes too', async () => {
  const ready = start(new Gathering());
  expect(await ready(999)).toBe(false);
  expect(await ready(2)).toBe(true);
});
