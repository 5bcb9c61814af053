"""Making YouTube-8M folders: conversion to mapped arrays, and synthesis."""
