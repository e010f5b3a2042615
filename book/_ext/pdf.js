// Make the page ready for print: pictures, fonts and formulas are there, and what is wider than the text is made to fit.
// The answer lists what is still too wide. `number` fills in the pages of the table of contents.
const done = arguments[0];
window.number = (pages) => {
  for (const place of document.querySelectorAll('[data-page]')) place.textContent = pages[place.dataset.page];
};

const main = document.querySelector('main');
const text = main.getBoundingClientRect();
const wide = (kind) => [...main.querySelectorAll(kind)].filter((node) => {
  const box = node.getBoundingClientRect();
  return box.left < text.left - 1 || box.right > text.right + 1;
});

(async () => {
  while (document.readyState !== 'complete') await new Promise((next) => setTimeout(next, 20));
  await window.MathJax?.startup?.promise;
  for (const { typesetRoot, math } of window.MathJax?.startup?.document?.math ?? []) {
    typesetRoot.role = 'img';
    typesetRoot.ariaLabel = math;
  }
  await document.fonts.ready;
  await Promise.all([...document.images].map((image) => image.decode().catch(() => {})));
  await new Promise((next) => requestIdleCallback(next)); // figures draw once their photographs are there
  for (const image of main.querySelectorAll('figure img')) { // a high one would leave half of the page before it empty
    image.style.maxHeight = `${Math.min(850, Math.max(450, 0.7 * image.clientHeight))}px`;
  }
  for (const code of main.querySelectorAll('.cell_input pre')) { // so would a long program; it may be parted instead
    if (code.textContent.split('\n').length < 32) continue;
    code.style.breakInside = 'auto';
    code.closest('.cell_input').style.breakAfter = 'auto';
  }
  for (const node of wide('img, svg, canvas, pre, table, mjx-math')) {
    const box = node.getBoundingClientRect();
    node.style.zoom = Math.min(1, text.width / box.width, (text.right - box.left) / box.width) - 0.005;
  }
  done([...wide('*'), ...main.querySelectorAll('mjx-merror')].map((node) => `${node.tagName} ${node.textContent.trim().slice(0, 80)}`));
})();
