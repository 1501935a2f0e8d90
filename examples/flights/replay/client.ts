/** HTTP as any client would speak it, over kept connections. */
import http from "node:http";

export interface Answer<T> {
  status: number;
  body: T;
}

export function openClient(url: string) {
  const { hostname, port } = new URL(url);
  const agent = new http.Agent({ keepAlive: true, maxSockets: 16 });

  /** `moment` is the time at which the request is made, where that is not the server's now. */
  function request<T>(method: string, path: string, body?: unknown, moment?: string): Promise<Answer<T>> {
    const text = body === undefined ? undefined : JSON.stringify(body);
    return new Promise((resolve, reject) => {
      const outgoing = http.request(
        {
          hostname,
          port,
          method,
          path,
          agent,
          headers: {
            ...(text === undefined ? {} : { "content-type": "application/json", "content-length": Buffer.byteLength(text) }),
            ...(moment === undefined ? {} : { "millrace-time": moment }),
          },
        },
        (incoming) => {
          const chunks: Buffer[] = [];
          incoming.on("data", (chunk: Buffer) => chunks.push(chunk));
          incoming.on("error", reject);
          incoming.on("end", () => {
            const answer = Buffer.concat(chunks).toString();
            try {
              resolve({ status: incoming.statusCode ?? 0, body: JSON.parse(answer) as T });
            } catch {
              reject(new Error(`${method} ${path} answered ${incoming.statusCode} with no JSON: ${answer.slice(0, 200)}`));
            }
          });
        },
      );
      outgoing.on("error", reject);
      outgoing.end(text);
    });
  }
  /** As `request`, and an error where the answer is none of success. */
  async function must<T>(method: string, path: string, body?: unknown, moment?: string): Promise<T> {
    const answer = await request<T>(method, path, body, moment);
    if (answer.status >= 300) throw new Error(`${method} ${path} answered ${answer.status}: ${JSON.stringify(answer.body).slice(0, 600)}`);
    return answer.body;
  }
  return {
    request,
    get: <T>(path: string) => must<T>("GET", path),
    post: <T>(path: string, body?: unknown, moment?: string) => must<T>("POST", path, body ?? {}, moment),
    close: () => agent.destroy(),
  };
}
export type Client = ReturnType<typeof openClient>;
