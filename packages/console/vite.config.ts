import tailwind from "@tailwindcss/vite";
import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

// `vite` alone draws the console from its sources over the API of a server that runs.
const server = process.env.MILLRACE_URL ?? "http://127.0.0.1:4711";

export default defineConfig({
  plugins: [react(), tailwind()],
  server: { proxy: { "^/(api|version)(/|$)": server } },
  // The server's content-security-policy allows no data: addresses but images, and no inline scripts.
  build: { target: "es2022", assetsInlineLimit: 0, modulePreload: { polyfill: false } },
});
