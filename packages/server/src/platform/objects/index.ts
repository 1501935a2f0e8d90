export { openFolderStore } from "./folder.js";
export type { Digest, ObjectStore, StoredObject } from "./store.js";
