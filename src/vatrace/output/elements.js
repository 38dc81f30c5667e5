// What the scripts of several pages need: their elements, and numbers with a sign.
"use strict";

const element = id => document.getElementById(id);
const make = (tag, attributes = {}, ...children) => {
  const made = Object.assign(document.createElement(tag), attributes);
  made.append(...children);
  return made;
};
const signed = value => (value < 0 ? "−" : "+") + Math.abs(value).toFixed(2);
