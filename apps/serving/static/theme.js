// Before anything is drawn: the colours and the language that were chosen last. A classic script in <head>, so it blocks.
(() => {
  const read = (key) => {
    try {
      return localStorage.getItem(key);
    } catch {
      return null; // storage is forbidden: the system's choice holds
    }
  };
  const theme = read("theme");
  if (theme === "dark" || theme === "light") document.documentElement.dataset.theme = theme;
  const language = read("language") || (navigator.language || "en").slice(0, 2).toLowerCase();
  document.documentElement.lang = language === "zh" ? "zh" : "en";
})();
