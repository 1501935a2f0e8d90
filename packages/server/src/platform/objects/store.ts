import type { Readable } from "node:stream";

/** `sha256:<64 hex digits>` */
export type Digest = `sha256:${string}`;

export interface StoredObject {
  digest: Digest;
  size: number;
}

export interface ListedObject extends StoredObject {
  modified: Date;
}

/** Immutable bytes, named by their digest. What is put twice is stored once. */
export interface ObjectStore {
  /** Durable when it resolves, and as new as now, also where the same content was there before. `expect` refuses other content with a 400. */
  put(source: Readable | Buffer, options?: { expect?: Digest; maxBytes?: number }): Promise<StoredObject>;
  /** Takes a finished file into the store; the file is gone from where it was. */
  putFile(path: string): Promise<StoredObject>;
  /** Throws a 404 where it is missing. `start` and `end` are inclusive byte offsets. */
  read(digest: Digest, range?: { start: number; end: number }): Promise<Readable>;
  stat(digest: Digest): Promise<StoredObject | undefined>;
  /**
   * `stat` for who relies on the object being there and will refer to it: makes it as new as now, give or take an hour, so that it is not taken
   * for something left over.
   */
  renew(digest: Digest): Promise<StoredObject | undefined>;
  /** A path on this machine at which the whole object can be read; fetched first where the store is remote. */
  localPath(digest: Digest): Promise<string>;
  delete(digest: Digest): Promise<void>;
  /** All there is in the order of digests, with the moment when it was last put or renewed. What comes or goes meanwhile may be in it or not. */
  list(): AsyncIterable<ListedObject>;
  /** Deletes it unless it was put or renewed since that moment, also by another process right now. Says whether it is gone by this. */
  deleteOlder(digest: Digest, than: Date): Promise<boolean>;
  /** Where clients can reach the store themselves. */
  readonly direct?: DirectTransfers;
}

/**
 * Ways for clients past the server. What they send is staged under a name that is given to nobody else; it becomes an object when the server takes
 * it over, and has read it to know its digest.
 */
export interface DirectTransfers {
  /** For one `PUT` of the whole, and for as long as the address is good. */
  uploadUrl(name: string, seconds: number): Promise<string>;
  beginParts(name: string): Promise<string>;
  /** Of the parts from 1 on. */
  partUrls(name: string, upload: string, count: number, seconds: number): AsyncIterable<string>;
  /** Done before, it is done. Parts that don't fit are refused with a 400. */
  completeParts(name: string, upload: string, parts: { number: number; tag: string }[]): Promise<void>;
  abortParts(name: string, upload: string): Promise<void>;
  /** The tag is another one when the content is, or when it was sent again. */
  uploaded(name: string): Promise<{ size: number; tag: string } | undefined>;
  /** Takes over what was uploaded, which stays staged. Undefined where that has another tag by now. */
  adopt(name: string, tag: string): Promise<StoredObject | undefined>;
  discard(name: string): Promise<void>;
  /** For `GET`s, also of ranges. */
  downloadUrl(digest: Digest, options: { seconds: number; disposition: string }): Promise<string>;
}
