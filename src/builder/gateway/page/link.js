// The WebSocket to the gateway: frames out, answers in, and again after it was lost.

const SUBPROTOCOL = "framewire";
const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 8000;

export class GatewayError extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

// What the gateway says about its pipeline and itself; throws a GatewayError with its sentence.
export async function describePipeline(token) {
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  let response;
  try {
    response = await fetch("pipeline", { headers });
  } catch {
    throw new GatewayError("the gateway does not answer", "away");
  }
  const answer = await response.json();
  if (!response.ok) throw new GatewayError(answer.error, answer.status);
  return answer;
}

export class Link {
  // on: {state(text), trouble(sentence or null), answer(answer), open()}
  // options: of a stream, what else the address says of it.
  constructor(token, codec, on, options = {}) {
    this.token = token;
    this.codec = codec;
    this.options = options;
    this.on = on;
    this.waiting = new Map(); // when each unanswered frame was captured, by id
    this.sentBytes = 0;
    this.receivedBytes = 0;
    this.nextId = 0;
    this.pauseMs = FIRST_PAUSE_MS;
    this.closed = false;
    this.told = false; // whether the trouble that there is has been said
    this.connect();
  }

  get open() {
    return this.socket.readyState === WebSocket.OPEN;
  }

  // A frame: what it asks for, its bytes (Uint8Array), and when it was captured (performance.now()).
  send(asked, bytes, capturedMs) {
    const id = this.nextId++;
    const header = new TextEncoder().encode(`${JSON.stringify({ id, ...asked })}\n`);
    const message = new Uint8Array(header.length + bytes.length);
    message.set(header);
    message.set(bytes, header.length);
    this.socket.send(message);
    this.sentBytes += message.length;
    this.waiting.set(id, capturedMs);
    return message.length;
  }

  close() {
    this.closed = true;
    clearTimeout(this.timer);
    this.socket.close(1000);
  }

  connect() {
    const address = new URL("frames", location.href);
    address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    address.hash = "";
    if (this.codec !== "jpeg") {
      address.searchParams.set("codec", this.codec);
      for (const [name, value] of Object.entries(this.options)) address.searchParams.set(name, value);
    }
    const protocols = [SUBPROTOCOL];
    // A page can send a token in no other header.
    if (this.token) protocols.push(`${SUBPROTOCOL}.token.${this.token}`);
    this.socket = new WebSocket(address, protocols);
    this.socket.onopen = () => {
      this.told = false;
      this.on.state("connected");
      this.on.open();
    };
    this.socket.onmessage = (event) => this.take(event.data);
    this.socket.onclose = (event) => this.lost(event);
  }

  take(text) {
    this.receivedBytes += text.length;
    this.pauseMs = FIRST_PAUSE_MS;
    const answer = JSON.parse(text);
    answer.capturedMs = this.waiting.get(answer.id);
    this.waiting.delete(answer.id);
    this.on.answer(answer);
  }

  lost(event) {
    this.waiting.clear();
    if (this.closed) return;
    this.on.state("not connected");
    // An attempt that failed says less than what had been said when the connection ended.
    if (!this.told) {
      const why = event.reason || (event.code === 1006 ? "no reason given" : `code ${event.code}`);
      this.on.trouble(`The connection to the gateway ended (${why}); trying again.`);
      this.told = true;
    }
    this.timer = setTimeout(() => this.connect(), this.pauseMs * (0.5 + Math.random() / 2));
    this.pauseMs = Math.min(2 * this.pauseMs, LONGEST_PAUSE_MS);
  }
}
