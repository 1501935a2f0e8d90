/** A card as one HTML page that needs nothing beside it: no scripts, no images, no fonts of elsewhere. */
import { type Block, contentOf, type Inline } from "./content.js";
import type { Gathered } from "./types.js";

const style = `
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.7rem; } h2 { font-size: 1.3rem; border-bottom: 1px solid #8886; padding-bottom: .2rem; margin-top: 2rem; } h3 { font-size: 1.05rem; }
table { border-collapse: collapse; margin: .8rem 0; display: block; overflow-x: auto; }
th, td { border: 1px solid #8886; padding: .25rem .6rem; text-align: left; vertical-align: top; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem; } dt { font-weight: 600; } dd { margin: 0; overflow-wrap: anywhere; }
code, pre { font: 13px/1.4 ui-monospace, monospace; } pre { padding: .8rem; background: #8882; overflow-x: auto; }
`;

export function htmlCard(gathered: Gathered): string {
  const { title, blocks } = contentOf(gathered);
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escaped(title)}</title>
<style>${style}</style>
</head>
<body>
<main>
<h1>${escaped(title)}</h1>
${blocks.map(written).join("\n")}
</main>
</body>
</html>
`;
}

function written(block: Block): string {
  if ("heading" in block) return `<h${block.level}>${escaped(block.heading)}</h${block.level}>`;
  if ("text" in block)
    return block.text
      .split(/\n\s*\n/)
      .map((one) => `<p>${linked(one)}</p>`)
      .join("\n");
  if ("facts" in block) return `<dl>\n${block.facts.map(([name, value]) => `<dt>${escaped(name)}</dt><dd>${inline(value)}</dd>`).join("\n")}\n</dl>`;
  if ("list" in block) return `<ul>\n${block.list.map((value) => `<li>${inline(value)}</li>`).join("\n")}\n</ul>`;
  if ("program" in block) return `<pre><code>${escaped(block.program)}</code></pre>`;
  const { head, rows } = block.table;
  const body = rows.map((cells) => `<tr>${cells.map((cell) => `<td>${inline(cell)}</td>`).join("")}</tr>`).join("\n");
  return `<table>\n<thead><tr>${head.map((one) => `<th scope="col">${escaped(one)}</th>`).join("")}</tr></thead>\n<tbody>\n${body}\n</tbody>\n</table>`;
}
const inline = (parts: readonly Inline[]): string =>
  parts.map((part) => (typeof part === "string" ? linked(part) : `<code>${escaped(part.code)}</code>`)).join("");

/** Addresses of the web become links; no other kind does. */
const linked = (text: string): string =>
  text
    .split(/(https?:\/\/[^\s<>"']+)/)
    .map((part, index) => (index % 2 === 1 ? `<a href="${escaped(part)}" rel="noreferrer">${escaped(part)}</a>` : escaped(part)))
    .join("");

const entities: Readonly<Record<string, string>> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };
const escaped = (text: string): string => text.replaceAll(/[&<>"']/g, (character) => entities[character] ?? character);
