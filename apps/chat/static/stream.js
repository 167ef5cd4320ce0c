// An answer as it comes: lines of JSON over fetch.
import { Failed } from "/shared/page.js";

/** Ask for an answer and give each event to `received`. Throws Failed where it is refused, or ends in the middle. */
export async function answered(body, received) {
  let response;
  try {
    response = await fetch("/api/answer", { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });
  } catch (error) {
    throw new Failed(0, error.message);
  }
  if (!response.ok) {
    const content = await response.json().catch(() => ({}));
    throw new Failed(response.status, content.error ?? response.statusText, content);
  }
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    while (true) {
      const { done, value } = await reader.read();
      if (done) return true;
      const lines = (rest + value).split("\n");
      rest = lines.pop();
      for (const line of lines) if (line) received(JSON.parse(line));
    }
  } catch (error) {
    if (error instanceof TypeError) throw new Failed(0, error.message); // the network's
    throw error;
  }
}
