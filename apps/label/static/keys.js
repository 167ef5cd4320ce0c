// Keys as they are meant, whatever the keyboard's layout.

/** Return the key as on a Latin keyboard: full-width digits are digits, and a letter is known by its place elsewhere. */
export function keyOf(event) {
  const key = event.key.normalize("NFKC");
  if (/^[\x21-\x7e]$/.test(key)) return key.toLowerCase();
  return key.length === 1 || key === "Process" ? event.code.replace(/^(Key|Digit|Numpad)/, "").toLowerCase() : key;
}

/** Return the digit from 1 to 9 that is meant, or null. The row above the letters means digits also where it types them
 * with Shift only, as on a French keyboard. */
export function digitOf(event) {
  const key = keyOf(event);
  if (/^[1-9]$/.test(key)) return Number(key);
  const place = event.shiftKey ? null : event.code.match(/^Digit([1-9])$/);
  return place && Number(place[1]);
}

/** Return the digit of a key that is pressed with Shift, whatever that types, or null. */
export function shiftedDigitOf(event) {
  const place = event.shiftKey ? event.code.match(/^(?:Digit|Numpad)([1-9])$/) : null;
  return place && Number(place[1]);
}
