/** How long an offer waits for its ICE candidates. */

const GATHERING_MS = 1000; // a STUN server that is away must not stall
const SETTLED_MS = 20; // after a candidate of this machine, without another one

/**
 * Resolves when all candidates are known; without STUN and TURN servers already when this machine
 * named its own. Chromium waits 100 ms more before it adds those of TCP, which the server does not
 * take; an address that comes too late is found by the checks themselves (RFC 8445, 7.3.1.3).
 */
export function gathered(pc: RTCPeerConnection): Promise<void> {
  const alone = !pc.getConfiguration().iceServers?.length;
  return new Promise((resolve) => {
    let timer = setTimeout(resolve, GATHERING_MS);
    pc.addEventListener('icecandidate', ({ candidate }) => {
      if (!alone || !candidate?.candidate) return;
      clearTimeout(timer);
      timer = setTimeout(resolve, SETTLED_MS);
    });
    pc.addEventListener('icegatheringstatechange', () => {
      if (pc.iceGatheringState === 'complete') resolve();
    });
  });
}
