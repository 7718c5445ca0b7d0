//! Words that say little by themselves.

/// English function words: the list of NLTK that TinyBERT's script has, as far as they are words of letters. Of contractions, which
/// tokenisers of BERT's kind take apart at the apostrophe, both sides are here.
const STOP_WORDS: &str = "\
    a about above after again against ain all am an and any are aren as at be because been before being below \
    between both but by can couldn d did didn do does doesn doing don down during each few for from further had \
    hadn has hasn have haven having he her here hers herself him himself his i if in into is isn it its itself \
    just ll m ma me mightn more most mustn my myself needn no nor not now o of off on once only or other our ours \
    ourselves out over own re s same shan she should shouldn so some such t than that the their theirs them \
    themselves then there these they this those through to too under until up ve very was wasn we were weren while \
    will with won wouldn y you your yours yourself yourselves";

/// Whether a word, in any case, is one of them.
pub(super) fn is_stop_word(word: &str) -> bool {
    let lower = word.to_lowercase();
    STOP_WORDS.split(' ').any(|word| word == lower)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn function_words_are_found_in_any_case() {
        assert_eq!(STOP_WORDS.split(' ').count(), 145);
        assert!(STOP_WORDS.split(' ').all(is_stop_word));
        assert!(is_stop_word("The") && is_stop_word("NOT") && !is_stop_word("film") && !is_stop_word(""));
    }
}
