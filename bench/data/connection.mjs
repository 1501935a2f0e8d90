/** HTTP on a bare socket, so that what loads a server takes little of the machine itself. */
import net from "node:net";

const headEnd = Buffer.from("\r\n\r\n");

export function request({ hostname, port }, route, body) {
  const text = typeof body === "string" ? body : JSON.stringify(body);
  return Buffer.from(
    `POST ${route} HTTP/1.1\r\nhost: ${hostname}:${port}\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(text)}\r\n\r\n${text}`,
  );
}

/** One connection, for one request at a time: `send` resolves with the answer's body, and rejects where the server did not do what was asked. */
export function connect({ hostname, port }) {
  const socket = net.connect({ host: hostname, port: Number(port), noDelay: true });
  let waiting;
  let parts = [];
  let size = 0;
  let whole;
  let head = 0;
  let status = 0;
  const fail = (error) => waiting?.reject(error ?? new Error("The server closed the connection."));
  socket.on("error", fail).on("close", () => fail());
  socket.on("data", (part) => {
    parts.push(part);
    size += part.length;
    if (whole === undefined) {
      const text = parts.length === 1 ? part : Buffer.concat(parts);
      const end = text.indexOf(headEnd);
      if (end < 0) return;
      const said = text.toString("latin1", 0, end);
      const length = /content-length: *([0-9]+)/i.exec(said);
      if (length === null) return fail(new Error(`An answer without a length:\n${said}`));
      status = Number(said.slice(9, 12));
      head = end + 4;
      whole = head + Number(length[1]);
    }
    if (size < whole) return;
    const { resolve, reject } = waiting;
    waiting = undefined;
    const body = Buffer.concat(parts).subarray(head);
    parts = [];
    size = 0;
    whole = undefined;
    if (status >= 200 && status < 300) resolve(body);
    else reject(new Error(`${status} ${body.toString("utf8").slice(-500)}`));
  });
  return {
    send: (bytes) =>
      new Promise((resolve, reject) => {
        waiting = { resolve, reject };
        socket.write(bytes);
      }),
    close: () => socket.removeAllListeners("close").destroy(),
  };
}

/** So many connections, made when they are needed; what comes while all are busy waits for one, in its turn. */
export function openConnections(address, most) {
  const all = [];
  const idle = [];
  const waiting = [];
  const made = () => {
    if (all.length < most) return all[all.push(connect(address)) - 1];
    return new Promise((resolve) => waiting.push(resolve));
  };
  return {
    async send(bytes) {
      const connection = idle.pop() ?? (await made());
      try {
        return await connection.send(bytes);
      } finally {
        const next = waiting.shift();
        if (next === undefined) idle.push(connection);
        else next(connection);
      }
    },
    close() {
      for (const one of all) one.close();
    },
  };
}

export const quantile = (sorted, q) => Math.round((sorted[Math.max(0, Math.ceil(q * sorted.length) - 1)] ?? 0) * 100) / 100;
