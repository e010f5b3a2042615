// What a term or the symbols of a formula mean, shown where they are read: on hover, on focus, and at a first touch.
// `definitions-data.js` brings the entries; they are cut from the glossary and the notation when the site is built.
(() => {
  const {terms, symbols} = window.DEFINITIONS ?? {terms: {}, symbols: []};
  const WAIT = {term: 150, formula: 600}; // ms that a pointer rests before anything shows

  // --- symbols of a formula -----------------------------------------------------------------------------------------
  // A symbol is a base, such as `P`, `\hat u` or `\operatorname{NCut}`, with what hangs on it. Indices of patches are
  // interchangeable: `r_{in}` is what the notation calls `r_{ij}`.
  const BASE = String.raw`\\(?:operatorname|mathcal|mathbb|mathrm|mathbf|hat|bar|tilde)\s*(?:\{[^{}]*\}|\\[A-Za-z]+|[A-Za-z])|\\[A-Za-z]+|[A-Za-z]`;
  const HUNG = String.raw`[_^]\s*(?:\{(?:[^{}]|\{[^{}]*\})*\}|\\[A-Za-z]+|[^\s{}])`;
  const ATOM = new RegExp(`(${BASE})((?:'|\\s*${HUNG})*)`, 'g');
  const bare = text => text.replace(/\\[,;! ]/g, '').replace(/[{}\s]/g, '');
  const hung = text => (bare(text).match(/'|_[^_^']+|\^[^_^']+/g) ?? [])
    .map(part => part.replace(/[ijn]/g, 'i')).filter(part => !/^\^(\\top|k|\d)$/.test(part)).sort().join('');
  const atoms = tex => [...tex.replace(/_\{\\text\{(\w+)\}\}/g, '_{$1}').replace(/\\(?:text|label|tag|textstyle|begin|end)\s*(\{[^{}]*\})?/g, ' ').matchAll(ATOM)]
    .map(([, base, rest]) => [bare(base), hung(rest)]);

  const known = new Map(); // from a base and what hangs on it to rows of the notation
  const remember = (key, row) => known.set(key, [...(known.get(key) ?? []), row]);
  symbols.forEach(([names, html], row) => {
    for (const name of names) {
      const [atom] = atoms(name);
      if (atom) remember(atom.join(''), row);
    }
  });
  const meanings = tex => {
    const found = new Set();
    for (const [base, rest] of atoms(tex)) {
      const unindexed = rest.replace(/_i+(?=['^_]|$)/, ''); // of an entry of a matrix, the matrix
      const key = [base + rest, base + unindexed, base].find(key => known.has(key));
      known.get(key)?.forEach(row => found.add(row));
    }
    return [...found].map(row => symbols[row][1]);
  };
  let sources; // from a typeset formula to its TeX
  const source = formula => {
    if (!sources?.has(formula)) sources = new Map([...MathJax.startup.document.math].map(m => [m.typesetRoot, m.math]));
    return sources.get(formula) ?? '';
  };

  // --- the box ------------------------------------------------------------------------------------------------------
  const box = document.createElement('div');
  box.id = 'definition';
  box.setAttribute('role', 'tooltip');
  box.hidden = true;
  let owner = null, timer = 0;

  const hide = () => {
    clearTimeout(timer);
    owner?.removeAttribute('aria-describedby');
    owner = null;
    box.hidden = true;
  };
  const place = () => {
    const [line] = owner.getClientRects(), gap = 6;
    const left = Math.min(line.left, document.documentElement.clientWidth - box.offsetWidth - gap);
    const above = line.top - box.offsetHeight - gap;
    const below = line.bottom + gap + box.offsetHeight <= innerHeight || above < 0;
    box.style.left = `${Math.max(gap, left) + scrollX}px`;
    box.style.top = `${(below ? line.bottom + gap : above) + scrollY}px`;
  };
  const show = (element, html) => {
    hide();
    if (!html) return;
    owner = element;
    MathJax?.typesetClear?.([box]);
    box.innerHTML = html;
    box.hidden = false;
    element.setAttribute('aria-describedby', box.id);
    place();
    MathJax?.typesetPromise?.([box]).then(() => owner && place());
  };

  const anchor = link => link.getAttribute('href').split('#')[1];
  const told = element => {
    if (element.matches('a')) {
      const [name, meaning] = terms[anchor(element)];
      return `<p><b>${name}</b>. ${meaning}</p>`;
    }
    const rows = meanings(source(element));
    return rows.length ? `<ul>${rows.map(row => `<li>${row}</li>`).join('')}</ul>` : '';
  };
  const found = node => {
    const element = node.closest?.('main a[href*="#term-"], main mjx-container');
    const outside = element && !element.closest('#definition, .headerlink');
    return outside && (!element.matches('a') || terms[anchor(element)]) ? element : null;
  };

  document.addEventListener('pointerover', ({target, pointerType}) => {
    const element = found(target);
    if (pointerType !== 'mouse' || element === owner || target.closest('#definition')) return;
    clearTimeout(timer);
    if (!element) { timer = setTimeout(hide, 300); return; } // time to reach the box
    timer = setTimeout(() => show(element, told(element)), element.matches('a') ? WAIT.term : WAIT.formula);
  });
  document.addEventListener('focusin', ({target}) => {
    const element = found(target);
    if (element && target.matches(':focus-visible')) show(element, told(element));
    else if (!element && !target.closest('#definition')) hide();
  });
  document.addEventListener('focusout', hide);
  // By touch the first tap shows, the second follows the link.
  document.addEventListener('click', event => {
    const element = found(event.target);
    if (element && element !== owner && event.pointerType !== 'mouse' && event.detail > 0) {
      if (element.matches('a')) event.preventDefault();
      show(element, told(element));
    } else if (!element && !event.target.closest('#definition')) hide();
  });
  addEventListener('keydown', ({key}) => key === 'Escape' && hide());
  addEventListener('resize', hide);
  document.body.append(box); // the script is deferred: the body is there
})();
