/** Markdown as elements, never as HTML: what a client wrote can't run. Headings, lists, tables, quotes, code, links; the rest is shown as it is written. */
import type { ReactNode } from "react";

const most = 4_000;

export function Markdown({ text }: { text: string }) {
  return <div className="space-y-2 break-words">{blocks(text.split(/\r?\n/).slice(0, most))}</div>;
}

const item = /^\s*(?:[-*+]|\d+[.)])\s+(.*)$/;
function blocks(lines: string[]): ReactNode[] {
  const found: ReactNode[] = [];
  for (let at = 0; at < lines.length; ) {
    const line = lines[at] ?? "";
    const take = (fits: (line: string) => boolean): string[] => {
      const taken: string[] = [];
      for (; at < lines.length && fits(lines[at] ?? ""); at++) taken.push(lines[at] ?? "");
      return taken;
    };
    const key = at;
    const heading = /^(#{1,6})\s+(.*)$/.exec(line);
    const fence = /^\s*(`{3,}|~{3,})/.exec(line)?.[1];
    if (line.trim() === "") at++;
    else if (heading !== null) {
      at++;
      const level = heading[1]?.length ?? 1;
      // Below the headings of the screen itself.
      const Heading = level < 3 ? "h3" : level < 5 ? "h4" : "h5";
      found.push(
        <Heading key={key} className={`font-semibold ${level < 3 ? "pt-2 text-base" : "pt-1"}`}>
          {inline(heading[2] ?? "")}
        </Heading>,
      );
    } else if (fence !== undefined) {
      at++;
      const code = take((one) => !one.trimStart().startsWith(fence));
      at++;
      found.push(
        <pre key={key} className="overflow-auto rounded bg-sunken p-2 font-mono text-[12px]">
          {code.join("\n")}
        </pre>,
      );
    } else if (/^\s*(?:-{3,}|\*{3,}|_{3,})\s*$/.test(line)) {
      at++;
      found.push(<hr key={key} className="border-line" />);
    } else if (/^\s*>/.test(line)) {
      const quote = take((one) => /^\s*>/.test(one)).map((one) => one.replace(/^\s*>\s?/, ""));
      found.push(
        <blockquote key={key} className="border-l-2 border-line pl-3 text-muted">
          {inline(quote.join(" "))}
        </blockquote>,
      );
    } else if (/^\s*\|.*\|\s*$/.test(line) && /^\s*\|[\s:|-]+\|\s*$/.test(lines[at + 1] ?? "")) {
      const [head, , ...rows] = take((one) => /^\s*\|.*\|\s*$/.test(one)).map((one) => one.trim().slice(1, -1).split("|"));
      found.push(<Cells key={key} head={head ?? []} rows={rows} />);
    } else if (item.test(line)) {
      const ordered = /^\s*\d/.test(line);
      const items = take((one) => item.test(one)).map((one) => item.exec(one)?.[1] ?? "");
      const List = ordered ? "ol" : "ul";
      found.push(
        <List key={key} className={`pl-5 ${ordered ? "list-decimal" : "list-disc"}`}>
          {items.map((one, i) => (
            // biome-ignore lint/suspicious/noArrayIndexKey: lines of a text have no other name
            <li key={i}>{inline(one)}</li>
          ))}
        </List>,
      );
    } else {
      const paragraph = take((one) => one.trim() !== "" && !item.test(one) && !/^\s*(?:#{1,6}\s|>|`{3}|~{3}|\|.*\|\s*$)/.test(one));
      // A line that begins like a block and is none.
      if (paragraph.length === 0) paragraph.push(lines[at++] ?? "");
      found.push(<p key={key}>{inline(paragraph.join(" "))}</p>);
    }
  }
  return found;
}

const Cells = ({ head, rows }: { head: string[]; rows: string[][] }) => (
  <table className="border-collapse">
    <thead>
      <tr>
        {head.map((cell, i) => (
          // biome-ignore lint/suspicious/noArrayIndexKey: columns of a text have no other name
          <th key={i} className="border border-line px-2 py-0.5 text-left font-medium">
            {inline(cell.trim())}
          </th>
        ))}
      </tr>
    </thead>
    <tbody>
      {rows.map((row, i) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: as above
        <tr key={i}>
          {row.map((cell, j) => (
            // biome-ignore lint/suspicious/noArrayIndexKey: as above
            <td key={j} className="border border-line px-2 py-0.5">
              {inline(cell.trim())}
            </td>
          ))}
        </tr>
      ))}
    </tbody>
  </table>
);

const marks = /(`[^`]+`)|(\*\*[^*]+\*\*)|(\*[^*\s][^*]*\*)|\[([^\]]+)\]\(([^)\s]+)\)|(https?:\/\/[^\s<>)]+)/g;
function inline(text: string): ReactNode[] {
  const found: ReactNode[] = [];
  let last = 0;
  for (const match of text.matchAll(marks)) {
    if (match.index > last) found.push(text.slice(last, match.index));
    last = match.index + match[0].length;
    const [whole, code, bold, italic, name, address, bare] = match;
    const key = match.index;
    if (code !== undefined) found.push(<code key={key}>{code.slice(1, -1)}</code>);
    else if (bold !== undefined) found.push(<b key={key}>{bold.slice(2, -2)}</b>);
    else if (italic !== undefined) found.push(<i key={key}>{italic.slice(1, -1)}</i>);
    else {
      const to = bare ?? address ?? "";
      // Only addresses that a browser opens as pages.
      found.push(
        /^https?:\/\//i.test(to) ? (
          <a key={key} className="link" href={to} target="_blank" rel="noopener noreferrer nofollow">
            {name ?? to}
          </a>
        ) : (
          (name ?? whole)
        ),
      );
    }
  }
  if (last < text.length) found.push(text.slice(last));
  return found;
}
