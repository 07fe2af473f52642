# Completion of the command etx for bash. What may stand where, the command itself says, from the
# tables that it runs by: `etx __complete WORD...`.

_etx() {
    local word typed="" line prefix found words=()
    # bash takes words apart at ':' and '=': they are put together again
    for word in "${COMP_WORDS[@]:1:COMP_CWORD}"; do
        if [[ ${#words[@]} -gt 0 && ( $word == [:=]* || ${words[-1]} == *[:=] ) ]]; then
            words[-1]+=$word
        else
            words+=("$word")
        fi
    done
    [[ ${#words[@]} -gt 0 ]] && typed=${words[-1]}
    COMPREPLY=()
    while IFS= read -r line; do
        case $line in
        ":dirs "* | ":files "*)
            prefix=${line#* }
            compopt -o filenames 2> /dev/null
            while IFS= read -r found; do
                COMPREPLY+=("$prefix$found")
            done < <(if [[ $line == ":dirs "* ]]; then
                compgen -d -- "${typed#"$prefix"}"
            else
                compgen -f -- "${typed#"$prefix"}"
            fi)
            ;;
        *)
            COMPREPLY+=("$line")
            ;;
        esac
    done < <("${COMP_WORDS[0]}" __complete "${words[@]}" 2> /dev/null)
    [[ ${COMPREPLY[*]} == *: ]] && compopt -o nospace 2> /dev/null
    # what stands before the last ':' or '=' is not bash's to replace
    if [[ $typed == *[:=]* ]]; then
        prefix=${typed%"${typed##*[:=]}"}
        COMPREPLY=("${COMPREPLY[@]#"$prefix"}")
    fi
}

complete -F _etx etx
