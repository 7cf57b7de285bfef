/** Notices video that stands still on a connection that looks alive. */
export class Watchdog {
  #sent = 0;
  #decoded = 0;
  #movedAt: number | null = null;

  constructor(readonly patience_s: number) {}

  /**
   * Whether frames went out for `patience_s` and none came back.
   * @param sent frames encoded so far (a viewer: anything that grows), @param decoded frames decoded
   * so far, @param now seconds
   */
  frozen(sent: number, decoded: number, now: number): boolean {
    const moved = decoded !== this.#decoded;
    const starved = sent === this.#sent; // a camera without frames is not the connection's fault
    this.#sent = sent;
    this.#decoded = decoded;
    if (moved || starved || this.#movedAt === null) this.#movedAt = now;
    return now - this.#movedAt >= this.patience_s;
  }
}
